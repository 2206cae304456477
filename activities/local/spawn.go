package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/activities"
)

// spawn starts the agent of a locked replica and begins to watch it.
func (l *Local) spawn(r *replica, spec activities.ReplicaSpec) error {
	pid, fd, err := l.exec(r, spec)
	if err != nil {
		return err
	}
	// The agent is our child and not reaped, so its number means nobody else yet.
	s, err := l.procs.find(pid)
	if err == nil {
		r.rec.PID, r.rec.Ticks = pid, s.Starttime
		err = r.save()
	}
	var h *handle
	if err == nil {
		h, err = hold(r.rec.agent(), fd)
	} else {
		unix.Close(fd)
	}
	if err != nil {
		l.abandon(r.rec)
		return fmt.Errorf("note agent process %d: %w", pid, err)
	}
	l.watch(r, h)
	return nil
}

// exec starts the agent in a session of its own, and in a cgroup of its own where that works.
func (l *Local) exec(r *replica, spec activities.ReplicaSpec) (pid, fd int, err error) {
	if c := l.cgroupsInUse(); c != nil {
		if r.rec.Cgroup, err = c.create(spec.ID, spec.Spec.Resources); err == nil {
			if pid, fd, err = l.execIn(r, r.rec.Cgroup); err == nil {
				return pid, fd, nil
			}
			os.Remove(r.rec.Cgroup)
		}
		r.rec.Cgroup = ""
	}
	inCgroup := err
	if pid, fd, err = l.execIn(r, ""); err != nil {
		return 0, 0, err
	}
	if inCgroup != nil {
		l.log.Warn("no cgroup for replicas from now on: trees are found by marker and session, limits on memory and CPU do not hold", "why", inCgroup)
		l.dropCgroups()
	}
	return pid, fd, nil
}

func (l *Local) execIn(r *replica, cgroup string) (pid, fd int, err error) {
	out, err := os.OpenFile(filepath.Join(r.dir, agentLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, fileMode)
	if err != nil {
		return 0, 0, explain(r.dir, err)
	}
	defer out.Close()
	fd = -1
	cmd := exec.Command(l.o.AgentBinary) //nolint:noctx // 2026-11-23: the agent outlives whoever started it
	cmd.Dir = r.dir
	cmd.Env = l.agentEnv(r.rec.ID, filepath.Join(r.dir, agentFile))
	cmd.Stdout, cmd.Stderr = out, out // a file, so that nothing breaks when the platform dies
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, PidFD: &fd}
	if cgroup != "" {
		dir, err := os.Open(cgroup)
		if err != nil {
			return 0, 0, err
		}
		defer dir.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, fmt.Errorf("start the agent: %w", err)
	}
	pid = cmd.Process.Pid
	if err := cmd.Process.Release(); err != nil { // it is waited for by its pidfd, as an adopted one is
		return 0, 0, errors.Join(err, unix.Kill(pid, unix.SIGKILL))
	}
	return pid, fd, nil
}

func (l *Local) cgroupsInUse() *cgroups {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cgroups
}

func (l *Local) dropCgroups() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cgroups = nil
}

// abandon kills an agent that was started but could not be noted.
func (l *Local) abandon(rec record) {
	if !l.clear(rec, nil, func([]member) {}) {
		return
	}
	l.procs.reap(rec.agent())
	if rec.Cgroup != "" {
		os.Remove(rec.Cgroup)
	}
}

// watch waits for the end of a locked replica's agent.
func (l *Local) watch(r *replica, h *handle) {
	r.handle = h
	if !r.rec.KillAt.IsZero() {
		l.remind(r, h, r.rec.KillAt)
	}
	l.wg.Go(func() { l.attend(r, h) })
}

// remind has the watcher of a locked replica wake up at a time, to kill what is left.
func (l *Local) remind(r *replica, h *handle, at time.Time) {
	if err := h.deadline(at); err != nil && l.ctx.Err() == nil { // no kernel is known to refuse
		l.log.Error("a grace is not watched: stop the replica again once it is over", "replica", r.rec.ID, "until", at, "err", err)
	}
}
