package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stoker.dev/stoker/events"
)

// Pauses between two rounds of killing what is left of a tree. The first is about what the
// kernel takes to end a process; the last keeps a process that sleeps in a driver from costing
// anything.
const (
	firstRound = 2 * time.Millisecond
	lastRound  = 2 * time.Second
)

// lingering is how long a tree may take to die before its replica is shown as stopping, with
// what is left of it.
const lingering = time.Second

// quietScans is how many scans in a row must find nobody. One scan of /proc can miss a process
// that is started behind it by one that ends before it.
const quietScans = 2

// end follows the agent's death: the rest of the tree is killed, and the replica is gone only
// when nothing of it is left.
func (l *Local) end(r *replica, h *handle) {
	r.mu.Lock()
	rec := r.rec
	r.mu.Unlock()
	if !l.clear(rec, r.struck, func(left []member) { l.linger(r, left) }) {
		return // closed meanwhile; the next platform goes on
	}
	code, ours := l.procs.reap(rec.agent())
	r.mu.Lock()
	defer r.mu.Unlock()
	if h != nil {
		h.close()
	}
	r.handle = nil
	l.finish(r, code, ours)
}

// clear kills the tree until nothing is left of it, and of those who were struck before, and tells whether that was
// reached before the provider closed. late is told what is left when that takes long.
func (l *Local) clear(rec record, before []member, late func([]member)) bool {
	begun := time.Now()
	quiet, struck := 0, map[process]member{}
	for _, m := range before {
		struck[m.process] = m
	}
	for wait := firstRound; ; wait = min(2*wait, lastRound) {
		left := l.strike(rec)
		left = append(left, l.procs.remaining(struck, left)...)
		for _, m := range left {
			struck[m.process] = m
		}
		if len(left) > 0 {
			quiet = 0
		} else if quiet++; quiet == quietScans {
			return true
		} else {
			continue
		}
		if time.Since(begun) > lingering {
			late(left)
		}
		if !l.pause(wait) {
			return false
		}
	}
}

// strike kills whatever lives of a tree and returns what it found.
func (l *Local) strike(rec record) []member {
	var found []member
	var err error
	if rec.Cgroup != "" {
		if found, err = l.procs.cgroupMembers(rec.Cgroup); err == nil && len(found) > 0 {
			err = killCgroup(rec.Cgroup)
		}
		ending, unseen := l.procs.ending(rec.agent())
		found, err = append(found, ending...), errors.Join(err, unseen)
	} else if found, err = l.procs.tree(rec.ID, rec.agent()); err == nil {
		for _, m := range found {
			err = errors.Join(err, l.procs.kill(m.process))
			l.procs.reap(m.process) // ours only where the platform is the machine's init
		}
	}
	if err != nil { // not knowing is not gone
		l.log.Error("cannot see or kill a replica's processes", "replica", rec.ID, "err", err)
		return append(found, member{name: err.Error()})
	}
	return found
}

// linger shows what keeps a replica from being gone.
func (l *Local) linger(r *replica, left []member) {
	names := make([]string, len(left))
	for i, m := range left {
		names[i] = m.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec.dying = true
	r.rec.Message = "killed, but still there: " + strings.Join(names, ", ")
	l.post(r)
}

// finish notes why a locked replica ended, and tells.
func (l *Local) finish(r *replica, code int, known bool) {
	rec := &r.rec
	rec.Gone, rec.Ended, rec.Message = true, time.Now(), ""
	rec.Last, rec.OOMKills = r.lastWord(), oomKills(rec.Cgroup)
	switch hb := rec.Last; {
	case hb != nil && hb.Phase == events.PhaseExited && (hb.Cause != "" || hb.Rank != nil): // a rank that ends well has no cause
		rec.Cause, rec.ExitCode, rec.Message = hb.Cause, hb.ExitCode, hb.Message
	case rec.Killed:
		rec.Cause, rec.ExitCode = events.CauseKilled, code
	default:
		rec.Cause, rec.ExitCode = events.CauseAgentLost, code
		rec.Message = agentEnd(code, known)
	}
	r.explainEnd()
	if rec.Cgroup != "" {
		os.Remove(rec.Cgroup)
	}
	os.Remove(filepath.Join(r.dir, agentFile)) // credentials are of no more use
	if err := r.save(); err != nil {
		l.log.Error("the end of a replica was not noted: the next platform finds it again", "replica", rec.ID, "err", err)
	}
	l.post(r)
}

// agentEnd says how an agent ended that did not say so itself.
func agentEnd(code int, known bool) string {
	switch {
	case !known:
		return "the agent ended without a word"
	case code > 128:
		return fmt.Sprintf("the agent was killed by signal %d", code-128)
	default:
		return fmt.Sprintf("the agent exited with code %d without a word", code)
	}
}

// lastWord is the status the agent left, nil if it left none.
func (r *replica) lastWord() *events.Heartbeat {
	var hb events.Heartbeat
	if err := readJSON(filepath.Join(r.dir, statusFile), &hb); err != nil || hb.Replica != r.rec.ID {
		return nil
	}
	return &hb
}

// explainEnd adds the last lines of output to an end that nobody asked for, and that was not a good one.
func (r *replica) explainEnd() {
	rec := &r.rec
	if rec.Cause == "" || rec.Cause == events.CauseDrained || rec.Cause == events.CauseKilled {
		return
	}
	if rec.OOMKills > 0 {
		rec.Cause = events.CauseOutOfMemory
		rec.Message = strings.TrimLeft(rec.Message+"\nout of memory: the kernel killed it at its limit, spec.resources.memory", "\n")
	}
	if rec.Last != nil && rec.Last.Message != "" && rec.Last.Phase == events.PhaseExited {
		return // the agent has quoted its server already
	}
	lines := lastLines(filepath.Join(r.dir, serverLog))
	if lines == "" {
		lines = lastLines(filepath.Join(r.dir, agentLog))
	}
	rec.Message = strings.Trim(rec.Message+"\n"+lines, "\n")
}
