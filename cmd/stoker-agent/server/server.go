package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gopkg.in/natefinch/lumberjack.v2"
)

// Options say what to run. The command is not passed to a shell.
type Options struct {
	Command []string  // program and arguments; a program without a slash is looked up on PATH
	Dir     string    // working directory; empty: ours
	Env     []string  // the whole environment, see [Env]
	LogFile string    // rotated; empty: only the last lines are kept
	Output  io.Writer // gets the output, too; nil: nobody does
	Secrets []string  // values that are masked in the output, see [Secrets]
}

// Exit is how a model server ended.
type Exit struct {
	Code   int            // 128 + signal when a signal ended it, as a shell says it
	Signal syscall.Signal // 0 when it ended by itself
	At     time.Time      // zero for one that is not our child
	// OutOfMemory: it was killed, not by us, within seconds of the kernel killing something for want
	// of memory, so that was most likely this.
	OutOfMemory bool
	// Unseen: nobody told us how; the server was not our child.
	Unseen bool
}

// String is the exit in words.
func (e Exit) String() string {
	if e.Unseen {
		return "nobody listens on its port any more; how it ended is its container's to say"
	}
	if e.OutOfMemory {
		return "most likely out of memory: it was killed (signal " + e.Signal.String() + ") while the kernel was killing for want of memory; " +
			"give it more (spec.resources.memory, the machine), or a smaller batch or context"
	}
	if e.Signal != 0 {
		return "killed by signal: " + e.Signal.String()
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// Server is one running model server and all it started.
type Server struct {
	pid    int
	last   *tail
	output *os.File // our end of the server's stdout and stderr
	copied chan struct{}
	done   chan struct{} // the main process ended
	exit   Exit          // set before done is closed
	signal chan os.Signal
	quit   chan struct{} // the tree is gone, the reaper may go
	once   sync.Once

	oom     *oomWatch
	killing atomic.Bool // by us
}

// Start runs the command in its own process group. Our process becomes the subreaper of
// all its descendants. The error is [ErrSpawn].
func Start(o Options) (*Server, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("%w: become subreaper: %w", ErrSpawn, err)
	}
	path, err := lookPath(o.Command)
	if err == nil && o.Dir != "" {
		_, err = os.Stat(o.Dir) // execve would blame the program
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w; check spec.runtime in the manifest", ErrSpawn, err)
	}
	s := &Server{last: &tail{}, copied: make(chan struct{}), done: make(chan struct{}),
		signal: make(chan os.Signal, 1), quit: make(chan struct{}), oom: newOOMWatch(oomKills)}
	signal.Notify(s.signal, syscall.SIGCHLD)
	if err := s.spawn(path, o); err != nil {
		signal.Stop(s.signal)
		return nil, fmt.Errorf("%w: %s: %w; check the command in spec.runtime", ErrSpawn, strings.Join(o.Command, " "), err)
	}
	go s.oom.run(s.done)
	go s.reap()
	return s, nil
}

func lookPath(command []string) (string, error) {
	if len(command) == 0 {
		return "", errors.New("the command is empty")
	}
	if strings.Contains(command[0], "/") {
		return command[0], nil // relative to the working directory, as execve sees it
	}
	return exec.LookPath(command[0])
}

// spawn opens the files, forks on a thread of its own and begins copying output.
func (s *Server) spawn(path string, o Options) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	started := make(chan error)
	go s.fork(path, o, []uintptr{null.Fd(), in.Fd(), in.Fd()}, started)
	if err := <-started; err != nil {
		out.Close()
		return err
	}
	s.output = out
	go s.copy(o)
	return nil
}

// fork starts the child and keeps its thread until the child ended: the kernel sends
// Pdeathsig when the thread that forked dies, not when the process does.
func (s *Server) fork(path string, o Options, files []uintptr, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, err := syscall.ForkExec(path, o.Command, &syscall.ProcAttr{
		Dir: o.Dir, Env: o.Env, Files: files,
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	s.pid = pid
	started <- err
	if err == nil {
		<-s.done
	}
}

// copy ends when the last process holding the server's output is gone.
func (s *Server) copy(o Options) {
	defer close(s.copied)
	var to io.Writer = s.last
	if o.LogFile != "" {
		log := &lumberjack.Logger{Filename: o.LogFile, MaxSize: LogMegabytes, MaxBackups: LogBackups}
		defer log.Close()
		to = io.MultiWriter(s.last, ignoreErrors{log})
	}
	if o.Output != nil {
		to = io.MultiWriter(to, ignoreErrors{o.Output})
	}
	masked := newMask(to, o.Secrets)
	_, _ = io.Copy(masked, s.output)
	masked.flush()
}

// reap waits for every child, ours and inherited, until the tree is gone.
func (s *Server) reap() {
	for {
		s.reapAll()
		select {
		case <-s.signal:
		case <-s.quit:
			return
		}
	}
}

func (s *Server) reapAll() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || pid == 0:
			return
		case pid == s.pid:
			s.exit = s.exitOf(status)
			close(s.done)
		}
	}
}

func (s *Server) exitOf(status unix.WaitStatus) Exit {
	if !status.Signaled() {
		return Exit{Code: status.ExitStatus(), At: time.Now()}
	}
	e := Exit{Code: 128 + int(status.Signal()), Signal: status.Signal(), At: time.Now()}
	e.OutOfMemory = status.Signal() == unix.SIGKILL && !s.killing.Load() && s.oom.killed()
	return e
}

// PID is the model server's process.
func (s *Server) PID() int { return s.pid }

// Done is closed when the main process ended. What it started may still run: call Stop.
func (s *Server) Done() <-chan struct{} { return s.done }

// Look tells whether the main process ended, as far as the kernel has told.
func (s *Server) Look() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Exit is how the main process ended; call it after Done is closed.
func (s *Server) Exit() Exit { return s.exit }

// Tail is the last lines the server wrote.
func (s *Server) Tail() string { return s.last.String() }

// Terminate asks the main process to go, and no other: what it has started may be of use to it until
// the end. It is a no-op once that process ended.
func (s *Server) Terminate() {
	if !s.Look() {
		_ = unix.Kill(s.pid, unix.SIGTERM) // it may have ended meanwhile
	}
}

// goneWait is how long a killed tree may take to be gone. A process in an uninterruptible
// call (a hung GPU driver or network mount) takes longer than anyone wants to wait.
const goneWait = time.Minute

// The pause between two looks at a dying tree, growing from the first to the last.
const (
	goneFirstPoll = time.Millisecond
	goneLastPoll  = 100 * time.Millisecond
)

// lastWordsWait bounds how long the output of a tree that is gone may still be read. It
// ends at once unless the server handed its output to a process outside its tree.
const lastWordsWait = time.Second

// Stop asks the model server's group to go, kills the whole tree once grace is over or
// ctx ends or the server went, and returns when nothing of it is left. The error is
// [ErrTreeAlive]. Calling it again is a no-op.
func (s *Server) Stop(ctx context.Context, grace time.Duration) (err error) {
	s.once.Do(func() {
		s.ask(ctx, grace)
		if err = s.kill(); err == nil {
			<-s.done // a zombie until the reaper had it
		}
		signal.Stop(s.signal)
		close(s.quit)
		s.lastWords()
	})
	return err
}

func (s *Server) ask(ctx context.Context, grace time.Duration) {
	if grace <= 0 {
		return
	}
	_ = unix.Kill(-s.pid, unix.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// kill repeats until a look finds nobody: what forks while it is being killed is found by
// the next one.
func (s *Server) kill() error {
	s.killing.Store(true)
	deadline := time.Now().Add(goneWait)
	pause := goneFirstPoll
	for {
		left, err := descendants(os.Getpid())
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTreeAlive, err)
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w after %s: pids %v; they hold their GPUs until the kernel lets them go", ErrTreeAlive, goneWait, left)
		}
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		<-time.After(pause)
		pause = min(2*pause, goneLastPoll)
	}
}

func (s *Server) lastWords() {
	select {
	case <-s.copied:
	case <-time.After(lastWordsWait):
	}
	_ = s.output.Close()
}
