package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/procfs"
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

// TestAProcessThatEndsIsWaitedForByItsSession is about a model server that ends with its agent, killed by the kernel
// before anybody looked: its environment went with its memory, and its files, locks and GPUs are still held. There is no
// way to hold a real process in that state, so it is written down as /proc shows it.
func TestAProcessThatEndsIsWaitedForByItsSession(t *testing.T) {
	const agent, ending, other, living = 100, 101, 102, 103
	dir := t.TempDir()
	write := func(pid, session int, flags uint) {
		t.Helper()
		base := filepath.Join(dir, strconv.Itoa(pid))
		if err := os.MkdirAll(base, 0o700); err != nil {
			t.Fatal(err)
		}
		stat := fmt.Sprintf("%d (server) D 1 %d %d 0 -1 %d 0 0 0 0 0 0 0 0 20 0 4 0 5000 0 0 "+
			"18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", pid, pid, session, flags)
		for name, text := range map[string]string{"stat": stat, "environ": ""} {
			if err := os.WriteFile(filepath.Join(base, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(ending, agent, exitingFlag)
	write(other, other, exitingFlag) // ends, and is nobody's we know
	write(living, agent, 0)          // lives, in a session whose number may mean another one by now
	fs, err := procfs.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	procs, leader := processes{fs: fs}, process{pid: agent, ticks: 4000}
	left, err := procs.tree("some-replica", leader)
	if err != nil || len(left) != 1 || left[0].pid != ending {
		t.Errorf("found %v, %v; want process %d alone", left, err, ending)
	}
	left, err = procs.ending(leader) // beside those of a cgroup
	if err != nil || len(left) != 1 || left[0].pid != ending {
		t.Errorf("found %v, %v; want process %d alone", left, err, ending)
	}
}
