package local

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// handle is a process held by a pidfd: unlike its number, it never comes to mean another one.
type handle struct {
	process
	file *os.File
}

// hold takes over a pidfd of p, or opens one if fd is negative.
func hold(p process, fd int) (*handle, error) {
	if fd < 0 {
		var err error
		if fd, err = unix.PidfdOpen(p.pid, unix.PIDFD_NONBLOCK); err != nil {
			return nil, fmt.Errorf("hold process %d: %w", p.pid, err)
		}
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that waiting takes no thread
		unix.Close(fd)
		return nil, fmt.Errorf("hold process %d: %w", p.pid, err)
	}
	return &handle{process: p, file: os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", p.pid))}, nil
}

// wait returns nil once the process has exited, [os.ErrDeadlineExceeded] past the deadline, and
// [os.ErrClosed] after close.
func (h *handle) wait() error {
	conn, err := h.file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(exited)
}

// exited tells whether the process behind a pidfd has ended; a pidfd is readable from then on.
func exited(fd uintptr) bool {
	polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(polled, 0)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0
		}
	}
}

// deadline makes wait return at t; the zero time takes the deadline away.
func (h *handle) deadline(t time.Time) error { return h.file.SetReadDeadline(t) }

// signal is a no-op for a process that has exited.
func (h *handle) signal(sig unix.Signal) error {
	conn, err := h.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	if errors.Is(sent, unix.ESRCH) {
		return nil
	}
	return sent
}

func (h *handle) close() { h.file.Close() }
