package local

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// headlessVar makes the test binary a process whose first thread has ended.
const headlessVar = "TEST_HEADLESS"

// headless ends the process's first thread and goes on in the others, as a process is for a moment that was killed: a
// zombie by its state, and all it holds is still held. It ends by itself after a while.
func headless() int {
	go func() {
		for { // each of these takes a thread; one of them gets the first
			go func() {
				runtime.LockOSThread()
				if unix.Gettid() == unix.Getpid() {
					_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
				}
				<-time.After(patience)
			}()
			<-time.After(time.Millisecond)
		}
	}()
	<-time.After(patience)
	return 0
}

// behead starts such a process, in a session of its own, and waits until its state is that of a zombie.
func behead(t *testing.T, procs processes, id string) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), headlessVar+"=1", MarkerVar+"="+id)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	var x process
	within(t, "its first thread ended", func() bool {
		s, err := procs.find(cmd.Process.Pid)
		x = process{pid: s.PID, ticks: s.Starttime}
		return err == nil && s.State == "Z" && s.NumThreads > 1
	})
	return x
}

// TestAProcessIsAliveUntilItsLastThreadEnded looks at a process that a careless look takes for dead.
func TestAProcessIsAliveUntilItsLastThreadEnded(t *testing.T) {
	procs, _, err := openProcesses()
	if err != nil {
		t.Fatal(err)
	}
	const id = "headless-1"
	x := behead(t, procs, id)
	if !procs.alive(x) {
		t.Error("it is taken for dead")
	}
	left, err := procs.tree(id, process{}) // by its marker alone, which its first thread does not have any more
	if err != nil || !slices.ContainsFunc(left, func(m member) bool { return m.process == x }) {
		t.Errorf("it is not found: %v, %v", left, err)
	}
	if got := procs.remaining(map[process]member{x: {process: x}}, nil); len(got) != 1 {
		t.Errorf("one who saw it before has forgotten it: %v", got)
	}
	if err := procs.kill(x); err != nil {
		t.Fatal(err)
	}
	within(t, "dead once it was killed", func() bool { return !procs.alive(x) })
	if got := procs.remaining(map[process]member{x: {process: x}}, nil); len(got) != 0 {
		t.Errorf("it is dead, and waited for: %v", got)
	}
}
