// Command shim runs one container's command for a host node and is to it what a PID namespace is to a container:
// when the command ends, or the test does, nothing that it started is left. Usage: shim command [argument]...
//
// Its standard input is a pipe that the test holds; its end means kill everything. It passes SIGTERM on to the
// command, writes the command's process ID to file descriptor 3, and exits with the command's code, or 128 and the
// number of the signal that ended it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cannotRun is the exit code for a command that did not start, as container runtimes report it.
const cannotRun = 128

// killed is what everything here gets in the end.
const killed = unix.SIGKILL

func main() {
	runtime.LockOSThread() // the command dies with the thread that forked it, and the main thread is the last to go
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
	}
	os.Exit(code)
}

func run(argv []string) (int, error) {
	if len(argv) == 0 {
		return cannotRun, errors.New("no command given")
	}
	unix.CloseOnExec(3)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return cannotRun, fmt.Errorf("become the parent of orphans: %w", err)
	}
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, unix.SIGTERM)
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // 2026-11-27: it ends with this process, by other means
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: killed}
	if err := cmd.Start(); err != nil {
		return cannotRun, err
	}
	fmt.Fprintln(os.NewFile(3, "report"), cmd.Process.Pid)
	go func() {
		for range terms {
			_ = unix.Kill(cmd.Process.Pid, unix.SIGTERM) // not reaped before the end, so it is nobody else's ID
		}
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = unix.Kill(cmd.Process.Pid, killed) // its end is the end of all
	}()
	return reap(cmd.Process.Pid)
}

// reap collects what ends until the command does, and then kills and collects what is left.
func reap(command int) (int, error) {
	code := cannotRun
	for over := false; ; {
		if over {
			killChildren()
		}
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return code, nil
		case err != nil:
			return code, err
		}
		if pid == command {
			code, over = exitCode(status), true
		}
	}
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// killChildren kills the direct children; theirs become ours, and their turn comes with the next round.
func killChildren() {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone
		}
		// The name is in parentheses and may hold anything; state and parent follow the last one.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			_ = unix.Kill(pid, killed)
		}
	}
}
