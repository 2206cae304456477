package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"stoker.dev/stoker/e2e/history"
)

// book is the history as it is written: in memory, to be checked, and in a file, to be read by people when the check
// fails. It is safe for concurrent use.
type book struct {
	mu      sync.Mutex
	file    *os.File
	records []history.Record
	err     error // the first one
	answers atomic.Int64
}

func openBook(path string) (*book, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	return &book{file: f}, nil
}

// note adds a record; without a time, it is of now.
func (b *book) note(r history.Record) {
	if r.At.IsZero() {
		r.At = time.Now()
	}
	if r.Kind == history.Answered {
		b.answers.Add(1)
	}
	line, err := r.Line()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		_, err = b.file.Write(line)
	}
	if b.err == nil {
		b.err = err
	}
	b.records = append(b.records, r)
}

// all is everything noted so far.
func (b *book) all() []history.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.records)
}

func (b *book) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.err, b.file.Close())
}
