package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/activities"
)

// Bounds of reading logs.
const (
	// maxTail bounds what a tail of lines may be, so that a server that writes no line ends
	// costs no more.
	maxTail = 4 << 20 // bytes
	// tailBlock is what is read at a time, backwards.
	tailBlock = 32 << 10 // bytes
	// followEvery is how often a followed log is looked at.
	followEvery = 100 * time.Millisecond
	// endLines and endBytes bound the output quoted for a failed replica.
	endLines = 20
	endBytes = 4 << 10
)

// Logs implements [activities.Provider]: the model server's output across its rotated files, or
// the agent's where the model server has written none and never will.
func (l *Local) Logs(ctx context.Context, id string, o activities.LogOptions) (io.ReadCloser, error) {
	r, err := l.take(id, false)
	if err != nil {
		return nil, err
	}
	gone, theirs, dir := r.rec.Gone, r.rec.begun() && o.Allow(r.rec.Key), r.dir
	r.mu.Unlock()
	if !theirs {
		return nil, fmt.Errorf("%w: %s", activities.ErrNoReplica, id)
	}
	name := serverLog
	if gone && len(logFiles(dir, serverLog)) == 0 {
		name = agentLog
	}
	f := &logReader{ctx: ctx, dir: dir, name: name}
	if o.Follow {
		f.over = func() bool { return l.isGone(id) }
	}
	if err := f.open(o.Tail); err != nil {
		return nil, err
	}
	return f, nil
}

func (l *Local) isGone(id string) bool {
	r, err := l.take(id, false)
	if err != nil {
		return true
	}
	defer r.mu.Unlock()
	return r.rec.Gone
}

// logFiles lists a log and its rotated files, oldest first. A rotated file has the time between
// name and extension, in a form that sorts.
func logFiles(dir, name string) []string {
	ext := filepath.Ext(name)
	out, _ := filepath.Glob(filepath.Join(dir, strings.TrimSuffix(name, ext)+"-*"+ext)) // the pattern is well-formed
	slices.Sort(out)
	if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
		out = append(out, filepath.Join(dir, name))
	}
	return out
}

// logReader reads a log from file to file, also while it is written and rotated.
type logReader struct {
	ctx       context.Context //nolint:containedctx // 2026-11-23: a reader has no other way to end with its caller
	dir, name string
	over      func() bool // nil: not followed; true: nothing more will come
	cur       *os.File    // nil until there is a file
}

// open begins n lines before the end, or at the beginning if n is 0.
func (f *logReader) open(n int) error {
	files := logFiles(f.dir, f.name)
	if len(files) == 0 {
		return nil
	}
	if n <= 0 {
		return f.take(files[0], 0)
	}
	for i := len(files) - 1; ; i-- {
		offset, lines, err := tailOffset(files[i], n)
		if err != nil {
			return err
		}
		if lines >= n || offset > 0 || i == 0 {
			return f.take(files[i], offset)
		}
		n -= lines
	}
}

func (f *logReader) take(path string, offset int64) error {
	next, err := os.Open(path)
	if err != nil {
		return err
	}
	if _, err := next.Seek(offset, io.SeekStart); err != nil {
		return errors.Join(err, next.Close())
	}
	if f.cur != nil {
		f.cur.Close()
	}
	f.cur = next
	return nil
}

// Read implements [io.Reader]. A followed log ends with its replica or with the caller's context.
func (f *logReader) Read(p []byte) (int, error) {
	for {
		if err := f.ctx.Err(); err != nil {
			return 0, err
		}
		over := f.over == nil || f.over() // asked before reading: what was written until then is read
		if n, err := f.next(p); n > 0 || err != nil {
			return n, err
		}
		if over {
			return 0, io.EOF
		}
		t := time.NewTimer(followEvery)
		select {
		case <-t.C:
		case <-f.ctx.Done():
			t.Stop()
		}
	}
}

// next reads what there is, going on to a newer file where there is one; 0 means no more yet.
func (f *logReader) next(p []byte) (int, error) {
	for {
		newer := f.newer() // looked up before reading: after it, an older file grows no more
		if f.cur != nil {
			if n, err := f.cur.Read(p); n > 0 || err != nil && !errors.Is(err, io.EOF) {
				return n, err
			}
		}
		if newer == "" {
			return 0, nil
		}
		if err := f.take(newer, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
	}
}

// newer is the file after the one being read, or "". One that was rotated out is followed by
// the oldest that is left.
func (f *logReader) newer() string {
	files := logFiles(f.dir, f.name)
	if len(files) == 0 {
		return ""
	}
	if f.cur == nil {
		return files[0]
	}
	cur, err := f.cur.Stat()
	if err != nil {
		return ""
	}
	for i, path := range files {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, cur) {
			if i+1 < len(files) {
				return files[i+1]
			}
			return ""
		}
	}
	return files[0]
}

// Close implements [io.Closer].
func (f *logReader) Close() error {
	if f.cur == nil {
		return nil
	}
	return f.cur.Close()
}

// tailOffset is where the last n lines of a file begin, and how many lines there are from there.
func tailOffset(path string, n int) (offset int64, lines int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, 0, err
	}
	buf := make([]byte, tailBlock)
	ends := 0 // line ends seen, without one at the very end
	for at := end; at > 0; {
		size := min(at, tailBlock)
		at -= size
		if _, err := f.ReadAt(buf[:size], at); err != nil {
			return 0, 0, err
		}
		for i := int(size) - 1; i >= 0; i-- {
			if pos := at + int64(i); buf[i] == '\n' && pos != end-1 {
				if ends++; ends == n {
					return pos + 1, n, nil
				}
			}
		}
		if end-at >= maxTail {
			return at, n, nil
		}
	}
	if end == 0 {
		return 0, 0, nil
	}
	return 0, ends + 1, nil
}

// lastLines is the end of a log, short enough to be carried along.
func lastLines(path string) string {
	offset, _, err := tailOffset(path, endLines)
	if err != nil {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	text := make([]byte, min(end-offset, endBytes))
	n, err := f.ReadAt(text, end-int64(len(text)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return strings.ToValidUTF8(string(bytes.TrimRight(text[:n], "\n")), "�")
}
