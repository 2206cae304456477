package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Entry is one line a model server wrote; see e2e/modelserver.
type Entry struct {
	What    string    `json:"what"`
	ID      string    `json:"id"`
	Body    string    `json:"body"`
	Replica string    `json:"replica"`
	PID     int       `json:"pid"`
	GPUs    string    `json:"gpus"`
	Tag     string    `json:"tag"`
	At      time.Time `json:"at"`
}

// ReadBooks reads a model server's books; none yet is no error, and a last line without its end is
// not there yet: the model server is writing it, or was killed at that.
func ReadBooks(t testing.TB, path string) []Entry {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var out []Entry
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v: %q", path, err, line)
		}
		out = append(out, e)
	}
	return out
}

// Runs counts how often each request was begun.
func Runs(books []Entry) map[string]int {
	out := map[string]int{}
	for _, e := range books {
		if e.What == "begin" {
			out[e.ID]++
		}
	}
	return out
}

// Conflicts are the moments in which a GPU was given to a replica while another process tree still had it.
func (p *Platform) Conflicts() []Entry {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.books, "*.jsonl"))
	if err != nil {
		p.t.Fatal(err)
	}
	var out []Entry
	for _, f := range files {
		for _, e := range ReadBooks(p.t, f) {
			if e.What == "conflict" {
				out = append(out, e)
			}
		}
	}
	return out
}
