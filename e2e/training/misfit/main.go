// Command misfit is a training program that does what such programs should not, for tests. It reports one step
// of progress and then is
//
//	misfit deaf          at work for ever: it takes no notice, and no SIGTERM
//	misfit quits         at work until SIGTERM, and then done, as it says with exit code 0, though it saved nothing
//	misfit leaves N      gone with exit code 0, with N processes left behind that hold its output open and take no
//	                     SIGTERM, every second one in a session of its own; their ids are in its output
//	misfit floods BYTES  busy printing so much, and then done
//
// What it leaves behind ends by itself after ten minutes, so that a test that fails leaks nothing for long.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// orphanLife is how long a process that was left behind lives.
const orphanLife = 10 * time.Minute

// readyFD is where a process that is to be left behind says that it no longer takes SIGTERM.
const readyFD = 3

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "misfit:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say what to be: deaf, quits, leaves N or floods BYTES")
	}
	if args[0] == "orphan" {
		signal.Ignore(syscall.SIGTERM)
		_, err := os.NewFile(readyFD, "ready").Write([]byte{1})
		<-time.After(orphanLife)
		return err
	}
	n := 0
	if len(args) > 1 {
		var err error
		if n, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	if err := report("progress step=1 percent=10"); err != nil {
		return err
	}
	switch args[0] {
	case "deaf":
		for range told { // and again
		}
		return nil
	case "quits":
		<-told
		return nil
	case "leaves":
		return leave(n)
	case "floods":
		return flood(n)
	default:
		return fmt.Errorf("nobody is %q", args[0])
	}
}

func report(line string) error {
	f, err := os.OpenFile(os.Getenv("PROGRESS_FILE"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

// leave starts processes that outlive this one.
func leave(n int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i := range n {
		ready, theirs, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd := exec.Command(self, "orphan") //nolint:noctx // 2026-11-28: it is to outlive everything here
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, []*os.File{theirs}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: i%2 == 1}
		if err := cmd.Start(); err != nil {
			return err
		}
		_ = theirs.Close() // so that reading ends with the process
		if _, err := ready.Read(make([]byte, 1)); err != nil {
			return err
		}
		fmt.Println("left", cmd.Process.Pid)
	}
	return nil
}

// flood prints lines of many bytes in all.
func flood(bytes int) error {
	const line = 1000
	text := strings.Repeat("x", line-1) + "\n"
	for left := bytes; left > 0; left -= line {
		if _, err := io.WriteString(os.Stdout, text[max(0, line-left):]); err != nil {
			return err
		}
	}
	return report("progress step=2 percent=100")
}
