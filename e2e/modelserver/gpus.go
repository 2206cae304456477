package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// outliveFor bounds the process left behind, should nobody kill it.
const outliveFor = 10 * time.Minute

// noGPUs is what NVIDIA's container runtime takes for none.
const noGPUs = "void"

// gpuIDs are the GPUs this replica was given: simulated slots, those of a Pod, or this machine's.
func gpuIDs() string {
	for _, name := range []string{"STOKER_SIMULATED_GPUS", "NVIDIA_VISIBLE_DEVICES"} {
		if v := os.Getenv(name); v != "" && v != noGPUs {
			return v
		}
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

// leaveBehind starts a process in a session of its own that holds the GPUs too: a child of this process, or, as a
// daemon, of nobody.
func (s *server) leaveBehind() error {
	mode := map[string]string{modeGrandchild: modeOutlive, modeDaemon: modeForked}[s.mode]
	if mode == "" {
		return nil
	}
	cmd, err := detached(mode, s.locks)
	if err == nil {
		err = cmd.Start()
	}
	if err == nil && mode == modeForked {
		err = cmd.Wait()
	}
	return err
}

// fork starts the daemon and exits, which leaves the daemon without a parent.
func fork(locks int) error {
	var held []*os.File
	for i := range locks {
		held = append(held, os.NewFile(uintptr(firstExtraFile+i), "lock"))
	}
	cmd, err := detached(modeOutlive, held)
	if err != nil {
		return err
	}
	return cmd.Start()
}

// firstExtraFile is the descriptor of the first file handed to a child beside its standard ones.
const firstExtraFile = 3

// detached is this program in a session of its own.
func detached(mode string, locks []*os.File) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-mode", mode, "-inherited", strconv.Itoa(len(locks))) //nolint:noctx // 2026-11-23: made to outlive this process
	cmd.ExtraFiles = locks
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, nil
}

// outlive ignores every polite request to go.
func outlive() error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	<-time.After(outliveFor)
	return nil
}
