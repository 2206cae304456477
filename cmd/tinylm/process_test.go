package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// asTinylm makes the test binary be tinylm, so that signals and exit codes are
// those of a real process.
const asTinylm = "TINYLM_TEST_PROCESS"

// patience bounds every wait of these tests; none takes that long when all is well.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asTinylm) != "" {
		main()
	}
	code := m.Run()
	os.RemoveAll(heartDir)
	os.Exit(code)
}

// process is a running tinylm.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string // of standard output
	stderr *lockedBuffer
	done   chan struct{} // closed when the process has ended
	err    error         // of Wait, after done
}

func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	p := &process{t: t, cmd: exec.CommandContext(ctx, os.Args[0], args...),
		lines: make(chan string, 1000), stderr: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), asTinylm+"=1", "CHECKPOINT_DIR=", "RESUME_FROM=", "PREEMPT_FILE=", "PROGRESS_FILE=", "NNODES=", "PORT="), env...)
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
		close(p.lines)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
	})
	return p
}

// line waits for an output line that starts with a word.
func (p *process) line(word string) string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				<-p.done
				p.t.Fatalf("ended (%v) without a line %q; stderr: %s", p.err, word, p.stderr)
			}
			if strings.HasPrefix(line, word+" ") {
				return line
			}
		case <-deadline:
			p.t.Fatalf("no line %q within %s; stderr: %s", word, patience, p.stderr)
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and wants an exit code.
func (p *process) exit(want int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("still running after %s; stderr: %s", patience, p.stderr)
	}
	got := 0
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		got = exit.ExitCode()
	} else if p.err != nil {
		p.t.Fatal(p.err)
	}
	if got != want {
		p.t.Fatalf("exit code %d, want %d; stderr: %s", got, want, p.stderr)
	}
}

// lockedBuffer may be written by a process and read by the test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
