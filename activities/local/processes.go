package local

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// bootFile changes with every boot of the machine.
const bootFile = "/proc/sys/kernel/random/boot_id"

// process is one process for all time of a boot: numbers come round again, start times do not.
type process struct {
	pid   int
	ticks uint64 // its start, in clock ticks since boot (field 22 of proc_pid_stat(5))
}

// member is one process of a tree.
type member struct {
	process
	name  string
	state string // one letter of proc_pid_stat(5), such as "D"
}

func (m member) String() string { return fmt.Sprintf("%d (%s, state %s)", m.pid, m.name, m.state) }

// processes reads /proc.
type processes struct {
	fs   procfs.FS
	self int
}

func openProcesses() (processes, string, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return processes{}, "", fmt.Errorf("local provider: open /proc: %w", err)
	}
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		return processes{}, "", fmt.Errorf("local provider: %w", err)
	}
	return processes{fs: fs, self: os.Getpid()}, strings.TrimSpace(string(boot)), nil
}

// find returns the process that has a number now.
func (p processes) find(pid int) (procfs.ProcStat, error) {
	proc, err := p.fs.Proc(pid)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	return proc.Stat()
}

// is tells whether a process still has its number, as a zombie or alive.
func (p processes) is(x process) bool {
	s, err := p.find(x.pid)
	return err == nil && x.pid != 0 && s.Starttime == x.ticks
}

// alive tells whether a process runs; a zombie does not.
func (p processes) alive(x process) bool {
	s, err := p.find(x.pid)
	return err == nil && x.pid != 0 && s.Starttime == x.ticks && !dead(s)
}

// dead tells a process that only waits for its parent to look at it. A state is that of the first thread: as long as
// there are others, the process holds its files, locks and GPUs, also one that was killed a moment ago.
func dead(s procfs.ProcStat) bool {
	return (s.State == "Z" || s.State == "X" || s.State == "x") && s.NumThreads <= 1
}

// exitingFlag is PF_EXITING of the kernel's include/linux/sched.h.
const exitingFlag = 0x4

// exiting tells a process that has begun to end, and will by itself.
func exiting(s procfs.ProcStat) bool { return s.Flags&exitingFlag != 0 }

// tree finds the living processes of a replica by marker, by session and by parent. The
// session counts only while the agent has its number: after that the number may come to mean
// somebody else's session. It still counts for processes that are ending: those have no marker
// any more, since memory goes first, and it does no harm to wait for somebody else's.
func (p processes) tree(id string, agent process) ([]member, error) {
	all, err := p.fs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	session := p.is(agent)
	marker := MarkerVar + "=" + id
	in := map[int]bool{}
	stats := make([]procfs.ProcStat, 0, len(all))
	for _, proc := range all {
		s, err := proc.Stat()
		if err != nil || proc.PID == p.self || s.Starttime < agent.ticks {
			continue // gone meanwhile, or older than the replica
		}
		stats = append(stats, s)
		in[s.PID] = s.Session == agent.pid && (session || exiting(s)) || p.marked(proc, s, marker)
	}
	adoptChildren(stats, in)
	var out []member
	for _, s := range stats {
		if in[s.PID] && !dead(s) {
			out = append(out, member{process{s.PID, s.Starttime}, s.Comm, s.State})
		}
	}
	return out, nil
}

// ending finds the processes of an agent's session that have begun to end. A cgroup does not list them any more.
func (p processes) ending(agent process) ([]member, error) {
	all, err := p.fs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var out []member
	for _, proc := range all {
		if s, err := proc.Stat(); err == nil && s.Session == agent.pid && s.Starttime >= agent.ticks && exiting(s) && !dead(s) {
			out = append(out, member{process{s.PID, s.Starttime}, s.Comm, s.State})
		}
	}
	return out, nil
}

// marked reads the environment a process was started with; another user's cannot be read, and
// is not of this tree. A process whose first thread has ended is asked by way of the others.
func (p processes) marked(proc procfs.Proc, s procfs.ProcStat, marker string) bool {
	env, err := proc.Environ()
	if err == nil && slices.Contains(env, marker) {
		return true
	}
	if s.State != "Z" || s.NumThreads <= 1 {
		return false
	}
	threads, err := p.fs.AllThreads(proc.PID)
	return err == nil && slices.ContainsFunc(threads, func(t procfs.Proc) bool {
		env, err := t.Environ()
		return err == nil && slices.Contains(env, marker)
	})
}

// remaining are those of earlier members that are not dead yet. A dying process gives its memory back first, and its
// environment with it: nothing but its number and start time tells whose it is from then on, while its files, locks
// and GPUs are still held.
func (p processes) remaining(earlier map[process]member, found []member) []member {
	var out []member
	for x, m := range earlier {
		seen := slices.ContainsFunc(found, func(f member) bool { return f.process == x })
		if !seen && p.alive(x) {
			out = append(out, m)
		}
	}
	return out
}

// adoptChildren adds the children of what is in, and theirs. Each round adds one generation at
// least, so there are no more rounds than processes.
func adoptChildren(stats []procfs.ProcStat, in map[int]bool) {
	for range stats {
		grown := false
		for _, s := range stats {
			if !in[s.PID] && in[s.PPID] {
				in[s.PID], grown = true, true
			}
		}
		if !grown {
			return
		}
	}
}

// leader finds the agent of a replica by its marker: the process that leads its own session.
func (p processes) leader(id string) (process, bool) {
	members, err := p.tree(id, process{})
	if err != nil {
		return process{}, false
	}
	for _, m := range members {
		if s, err := p.find(m.pid); err == nil && s.Session == m.pid && s.Starttime == m.ticks {
			return m.process, true
		}
	}
	return process{}, false
}

// kill sends SIGKILL to exactly this process. One that has exited meanwhile is no error.
func (p processes) kill(x process) error {
	h, err := hold(x, -1)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.close()
	if !p.is(x) { // checked with the handle open: from here on it cannot become another
		return nil
	}
	if err := h.signal(unix.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", x.pid, err)
	}
	return nil
}

// reap collects a zombie that is a child of ours and returns its exit code, 128 + n for a
// signal n. Others' zombies are their parents'.
func (p processes) reap(x process) (int, bool) {
	s, err := p.find(x.pid)
	if err != nil || s.Starttime != x.ticks || s.PPID != p.self || !dead(s) {
		return 0, false
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(x.pid, &status, unix.WNOHANG, nil); err != nil || pid != x.pid {
		return 0, false
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), true
	}
	return status.ExitStatus(), true
}
