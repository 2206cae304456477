package rank

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/scale/job/contract"
)

// maxLook is how far behind the end of the file a look begins at most, in bytes: some ten thousand
// reports. Who writes more between two looks writes no reports, and one look never takes longer.
const maxLook = 1 << 20

// ErrNotRegular is returned for a pipe, a device or a directory where a file belongs.
var ErrNotRegular = errors.New("no regular file")

// Tail reads a file that somebody appends lines to.
type Tail struct {
	path string
	file *os.File // nil: not there yet
	at   int64    // how far it was read
	open []byte   // a line that has no end yet
	long bool     // the line that has no end yet is too long to be a report
}

// NewTail reads a file from its beginning, once it is there.
func NewTail(path string) *Tail { return &Tail{path: path} }

// Look gives each whole line that was added since the last look to f, without its end; one that is
// longer than a report, and what was skipped, is an empty one. A file that was cut short is read
// again from its beginning. One that was put in its place is read after it.
func (t *Tail) Look(f func(line []byte)) error {
	if t.file != nil {
		if err := t.read(f); err != nil {
			return err
		}
		now, err := os.Stat(t.path)
		held, herr := t.file.Stat()
		if errors.Is(err, fs.ErrNotExist) || err == nil && herr == nil && os.SameFile(now, held) {
			return nil
		}
		t.Close()
	}
	file, err := openRegular(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read reports: %w", err)
	}
	t.file = file
	return t.read(f)
}

// Close may be followed by a look, which begins anew.
func (t *Tail) Close() {
	if t.file != nil {
		t.file.Close()
	}
	*t = Tail{path: t.path}
}

// read takes what the open file has more than at the last look.
func (t *Tail) read(f func([]byte)) error {
	info, err := t.file.Stat()
	if err != nil {
		return fmt.Errorf("read reports: %w", err)
	}
	size := info.Size()
	if size < t.at {
		t.at, t.open, t.long = 0, nil, false
	}
	if size-t.at > maxLook {
		t.at, t.open, t.long = size-maxLook, nil, true
	}
	data, err := io.ReadAll(io.NewSectionReader(t.file, t.at, size-t.at))
	t.at += int64(len(data))
	t.take(data, f)
	if err != nil {
		return fmt.Errorf("read reports: %w", err)
	}
	return nil
}

// take cuts what was read into lines.
func (t *Tail) take(data []byte, f func([]byte)) {
	for {
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		t.long = t.long || len(t.open)+len(line) > contract.MaxReport
		if t.long {
			t.open = nil
		} else {
			t.open = append(t.open, line...)
		}
		if !ended {
			return
		}
		f(t.open)
		t.open, t.long, data = nil, false, rest
	}
}

// openRegular opens a file to be read; never does it wait, as for the writer of a pipe.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
