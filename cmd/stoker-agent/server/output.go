package server

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// The model server's log rotates at LogMegabytes and LogBackups old files are kept, so that
// a chatty replica holds at most 80 MB of disk.
const (
	LogMegabytes = 20
	LogBackups   = 3
)

// The last words kept for messages: enough for a traceback, small enough for a heartbeat
// (a NATS message) and one screen of `stoker explain`.
const (
	TailLines     = 30
	TailLineBytes = 300
)

// tail keeps the last [TailLines] lines written to it, each cut at [TailLineBytes].
type tail struct {
	mu    sync.Mutex
	lines [][]byte // oldest first
	open  []byte   // the line that has no newline yet
}

// Write never fails: losing a line of a message is better than stopping a server's output.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		t.open = append(t.open, line[:min(len(line), TailLineBytes-len(t.open))]...)
		if ended {
			t.push()
		}
		rest = after
	}
	return len(p), nil
}

// push closes the open line. Once there are enough, the memory of the oldest is that of the next.
func (t *tail) push() {
	var next []byte
	if len(t.lines) == TailLines {
		next = t.lines[0][:0]
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, bytes.TrimRight(t.open, "\r"))
	t.open = next
}

// String is the kept lines, oldest first, the unfinished one last.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := bytes.Join(t.lines, []byte("\n"))
	if len(t.open) > 0 {
		all = append(append(all, '\n'), t.open...)
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(all)), "�")
}

// ignoreErrors keeps a full disk from blocking the model server on its own output.
type ignoreErrors struct{ w io.Writer }

func (i ignoreErrors) Write(p []byte) (int, error) {
	_, _ = i.w.Write(p)
	return len(p), nil
}
