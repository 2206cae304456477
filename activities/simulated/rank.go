package simulated

import (
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// exitKilled is the exit code of a rank that was killed at the end of its grace.
const exitKilled = 128 + int(unix.SIGKILL)

// Order gives a rank an order, as the broker gives it to the rank's agent: the errors are the agent's,
// and [activities.ErrNoReplica] where no agent of a rank listens.
func (w *World) Order(id string, c events.Control) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.replicas[id]
	switch {
	case r == nil || !r.alive() || r.rank == nil || r.phase == "" || w.lost[r.status.Node]:
		return fmt.Errorf("%w: no rank %s listens", activities.ErrNoReplica, id)
	case c.Generation != r.rank.Generation:
		return fmt.Errorf("op %q is for generation %d of the gang, rank %s is of generation %d", c.Op, c.Generation, id, r.rank.Generation)
	}
	now := w.o.Clock.Now()
	switch c.Op {
	case events.OpOpen:
		w.open(r, now)
	case events.OpNotice:
		r.notice(now)
		w.warn(r, time.Duration(c.GraceSeconds*float64(time.Second)))
	case events.OpSave:
		if r.rank.Started.IsZero() {
			return fmt.Errorf("op %q: the program of rank %s does not run", c.Op, id)
		}
		r.commit(now)
		w.beat(r)
	default:
		return fmt.Errorf("op %q is unknown to a rank", c.Op)
	}
	return nil
}

// open lets a rank through the barrier, once.
func (w *World) open(r *replica, now time.Time) {
	if r.asked || !r.rank.Started.IsZero() {
		return
	}
	r.rank.Started = now
	w.ready(r)
	if r.fate.Finish > 0 {
		w.after(r, r.fate.Finish, func() { w.finish(r, r.doneCause(), 0) })
	}
}

// notice notes when a rank was told to go, the first time.
func (r *replica) notice(now time.Time) {
	if r.rank != nil && r.rank.NoticedAt.IsZero() {
		r.rank.NoticedAt = now
	}
}

// commit has a rank save where it is.
func (r *replica) commit(now time.Time) {
	step := r.step(now)
	r.rank.Saved = &events.RankSaved{Path: path.Join(r.spec.Gang.CheckpointDir, fmt.Sprintf("step-%d", step)), Step: step, At: now}
}

// step is how far a rank's program is.
func (r *replica) step(now time.Time) int64 {
	if r.rank.Started.IsZero() {
		return 0
	}
	return int64(now.Sub(r.rank.Started).Seconds() * r.fate.Steps)
}

// progress is what a rank says of itself; nil for a function's replica.
func (r *replica) progress(now time.Time) *events.Rank {
	if r.rank == nil {
		return nil
	}
	said := *r.rank
	if said.Started.IsZero() || said.End != nil {
		return &said
	}
	said.Step, said.ReportedAt = r.step(now), now
	if r.fate.Finish > 0 {
		ran := now.Sub(said.Started)
		said.Percent = min(100, 100*ran.Seconds()/r.fate.Finish.Seconds())
		said.ETASec = max(0, (r.fate.Finish - ran).Seconds())
	}
	return &said
}

// end notes the end of a rank, as its agent tells it. One that was killed with its agent says nothing.
func (r *replica) end(now time.Time, cause string, code int) {
	if r.rank == nil || cause == events.CauseKilled {
		return
	}
	if code == functions.ExitSaved {
		r.commit(now)
	}
	r.rank = r.progress(now)
	r.rank.End = &events.RankEnd{At: now, ExitCode: code, ByUs: !r.rank.NoticedAt.IsZero(), Output: r.status.Message}
	if code == exitKilled {
		r.rank.End.Signal = int(unix.SIGKILL)
	}
}

// doneCause is why a rank ended whose program came to its end: no cause, unless it had been told to go.
func (r *replica) doneCause() string {
	if r.rank.NoticedAt.IsZero() {
		return ""
	}
	return events.CauseDrained
}

// drainedCode is how a rank ends that goes when it is told to.
func (r *replica) drainedCode() int {
	if r.rank == nil || r.rank.Started.IsZero() {
		return 0
	}
	return functions.ExitSaved
}
