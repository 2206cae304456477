package local

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// lastWordWithin is how long the agent of a rank that was asked to go may outlive the grace: what runs below
// it is killed at the end of that, and only the agent can say how it ended. It takes as long as the
// kernel needs to take the processes' memory and GPUs back.
const lastWordWithin = 5 * time.Second

// killAgain is how often an agent that did not die of SIGKILL has its tree killed again: it
// sleeps in the kernel, and something below it may still start processes.
const killAgain = time.Second

// Stop implements [activities.Provider].
func (l *Local) Stop(_ context.Context, id string, grace time.Duration) error {
	r, err := l.take(id, true)
	if err != nil {
		return err
	}
	defer r.mu.Unlock()
	first := !r.rec.Stopped
	r.rec.Stopped = true
	if !r.rec.begun() || r.rec.Gone {
		return l.forbid(r, first)
	}
	if at := time.Now().Add(max(grace, 0)); first || at.Before(r.rec.KillAt) {
		r.rec.KillAt = at
	}
	r.rec.Asked = r.rec.Asked || first && grace > 0
	if err := r.save(); err != nil { // a full disk must not keep a replica alive
		l.log.Error("a stop was not noted: a restart of the platform before its end forgets it", "replica", id, "err", err)
	}
	l.post(r)
	if r.handle == nil || r.rec.Killed { // it is being killed; where its agent is dead, what that left
		return nil
	}
	if first && grace > 0 {
		err = r.handle.signal(unix.SIGTERM)
	}
	return errors.Join(err, r.handle.deadline(r.rec.KillAt))
}

// forbid notes that a locked replica that does not run is never to be started.
func (l *Local) forbid(r *replica, first bool) error {
	if !first {
		return nil
	}
	if !r.rec.begun() {
		r.rec.Ended = time.Now()
	}
	err := r.save()
	if err != nil {
		r.rec.Stopped = false
		if !r.rec.begun() {
			l.drop(r)
		}
	}
	return err
}

// attend waits for the agent's end, and kills the tree when its grace is over.
func (l *Local) attend(r *replica, h *handle) {
	for {
		err := h.wait()
		switch {
		case err == nil:
			l.end(r, h)
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.overdue(r, h)
		case l.ctx.Err() != nil:
			return
		default: // the kernel offers no other, but a replica without a watcher would hold its GPU for ever
			l.log.Error("cannot wait for an agent: it is looked at each second", "replica", r.rec.ID, "err", err)
			if !l.pause(killAgain) {
				return
			}
		}
	}
}

// overdue kills the tree of a replica whose grace is over.
func (l *Local) overdue(r *replica, h *handle) {
	r.mu.Lock()
	if time.Now().Before(r.rec.KillAt) {
		r.mu.Unlock() // set anew meanwhile
		return
	}
	strike, again := l.strike, killAgain
	if !r.rec.Killed {
		r.rec.Killed = true
		if err := r.save(); err != nil {
			l.log.Error("a kill was not noted", "replica", r.rec.ID, "err", err)
		}
		if r.rec.Rank && r.rec.Asked {
			strike, again = l.strikeBelow, lastWordWithin
		}
	}
	rec := r.rec
	l.remind(r, h, time.Now().Add(again))
	r.mu.Unlock()
	// Once the agent is dead nothing may lead to some of them any more, and they are not dead yet.
	for _, m := range strike(rec) {
		if !slices.ContainsFunc(r.struck, func(x member) bool { return x.process == m.process }) {
			r.struck = append(r.struck, m)
		}
	}
}

// strikeBelow kills whatever lives below the agent of a rank, and returns what it found. What is started
// meanwhile is the agent's to kill, which it does once the main process ended.
func (l *Local) strikeBelow(rec record) []member {
	find := func() ([]member, error) { return l.procs.tree(rec.ID, rec.agent()) }
	if rec.Cgroup != "" {
		find = func() ([]member, error) { return l.procs.cgroupMembers(rec.Cgroup) }
	}
	found, err := find()
	found = slices.DeleteFunc(found, func(m member) bool { return m.process == rec.agent() })
	for _, m := range found {
		err = errors.Join(err, l.procs.kill(m.process))
	}
	if err != nil {
		l.log.Error("cannot see or kill a rank's processes: its agent may", "replica", rec.ID, "err", err)
	}
	return found
}

// pause waits, and tells whether the provider is still open.
func (l *Local) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}
