package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// tailBytes is how much of a process's output goes into an error.
const tailBytes = 4 << 10

// child is a process of a benchmark. It ends when its standard input does, or is told to; one
// that outlives a killed benchmark would disturb the next.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	log   string
	done  chan struct{} // closed when it has ended
}

func startChild(program string, env []string, log string, args ...string) (*child, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	c := &child{cmd: exec.Command(program, args...), log: log, done: make(chan struct{})} //nolint:noctx // 2026-11-27: it is stopped in order, not killed
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // an interrupt is ours to pass on
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		_ = c.cmd.Wait() // how it ended is not asked: a process that ends early left its words in the log
		close(c.done)
	}()
	return c, nil
}

func (c *child) gone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop asks the process to go, and kills it where it does not.
func (c *child) stop(ctx context.Context) error {
	if c == nil || c.gone() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	_ = c.stdin.Close()
	_ = c.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		_ = c.cmd.Process.Kill()
		<-c.done
		return fmt.Errorf("%s %s did not end within %v and was killed:\n%s", c.cmd.Path, c.cmd.Args[1], stopWithin, c.tail())
	}
}

// tail is the end of what the process said.
func (c *child) tail() string {
	data, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-tailBytes):])
}
