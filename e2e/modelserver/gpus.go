package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// outliveFor bounds the process left behind, should nobody kill it.
const outliveFor = 10 * time.Minute

// gpuIDs are the GPUs this replica was given: real ones, or simulated slots.
func gpuIDs() string {
	if v := os.Getenv("STOKER_SIMULATED_GPUS"); v != "" {
		return v
	}
	return os.Getenv("CUDA_VISIBLE_DEVICES")
}

// hold locks every GPU for the life of the tree. The locks belong to open files: the kernel lets go of them when
// the last process that has them is dead, and not before.
func (s *server) hold() error {
	if s.gpus == "" || gpuIDs() == "" {
		return nil
	}
	for _, id := range strings.Split(gpuIDs(), ",") {
		name := strings.NewReplacer("/", "_", ":", "_").Replace(id)
		f, err := os.OpenFile(filepath.Join(s.gpus, name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			s.note(entry{What: "conflict", Body: id})
			return fmt.Errorf("GPU %s is held by somebody else: %w", id, err)
		}
		s.locks = append(s.locks, f)
	}
	return nil
}

// leaveBehind starts a process in a session of its own that holds the GPUs too.
func (s *server) leaveBehind() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-mode", modeOutlive) //nolint:noctx // 2026-11-23: made to outlive this process
	cmd.ExtraFiles = s.locks
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// outlive ignores every polite request to go.
func outlive() error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	<-time.After(outliveFor)
	return nil
}
