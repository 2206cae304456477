package simulated

import (
	"strings"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
)

// neverReady is the timeout of a replica whose manifest names none.
const neverReady = 5 * time.Minute

// quoted is how many lines of output go with a failure.
const quoted = 20

// replica is one ID in a world, guarded by its mutex.
type replica struct {
	spec      activities.ReplicaSpec
	fate      Fate
	status    activities.ReplicaStatus
	phase     events.Phase
	receipt   events.Receipt
	rank      *events.Rank // nil: of a function
	stopped   bool         // no start from now on
	asked     bool         // to go
	killAt    time.Time
	forgotten bool
	written   int      // lines of output so far
	stops     []func() // timers
	silence   func()   // stops the next heartbeat
	changed   chan struct{}
}

func (r *replica) begun() bool { return !r.status.Started.IsZero() }

func (r *replica) alive() bool { return r.begun() && r.status.State != activities.RunGone }

// after sets a timer of a replica of a locked world; f runs with the world locked.
func (w *World) after(r *replica, d time.Duration, f func()) {
	r.stops = append(r.stops, w.o.Clock.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if r.alive() {
			f()
		}
	}))
}

// begin starts a replica's life.
func (w *World) begin(r *replica) {
	now := w.o.Clock.Now()
	r.receipt = r.spec.Agent.Receipt
	if g := r.spec.Gang; g != nil {
		r.rank = &events.Rank{Generation: g.Generation, Rank: g.Rank}
	}
	r.status = activities.ReplicaStatus{
		ID: r.spec.ID, Key: r.spec.Key, Revision: r.spec.Revision, Epoch: r.spec.Lease.Epoch,
		Node: r.spec.Lease.Node, State: activities.RunStarting, Started: now,
	}
	if r.status.Node == "" {
		r.status.Node = w.nodes[0]
	}
	if r.fate.Spawn > 0 {
		w.post(r)
		w.after(r, r.fate.Spawn, func() { w.run(r) })
		return
	}
	w.run(r)
}

// run is where its processes begin.
func (w *World) run(r *replica) {
	r.status.State = activities.RunRunning
	r.receipt.Spawned = w.o.Clock.Now()
	r.receipt.Loading = r.receipt.Spawned
	r.written = len(r.fate.Output)
	w.enter(r, events.PhaseLoading)
	switch {
	case r.rank != nil: // it waits at the barrier
	case r.fate.Load < 0:
		limit := r.spec.Spec.Runtime.Ready.Timeout.D()
		if limit <= 0 {
			limit = neverReady
		}
		w.after(r, limit, func() { w.finish(r, events.CauseNeverReady, 1) })
	case r.fate.Load > 0:
		w.after(r, r.fate.Load, func() { w.ready(r) })
	default:
		w.ready(r)
	}
	w.beatOn(r)
}

func (w *World) ready(r *replica) {
	if r.asked {
		return
	}
	r.receipt.Ready = w.o.Clock.Now()
	w.enter(r, events.PhaseReady)
	if r.fate.Crash > 0 {
		w.after(r, r.fate.Crash, func() { w.crash(r) })
	}
}

func (w *World) crash(r *replica) { w.finish(r, events.CauseCrashed, max(r.fate.ExitCode, 1)) }

// ask begins the end of a replica: asked, and killed once its grace is over.
func (w *World) ask(r *replica, grace time.Duration) {
	if !r.asked && grace > 0 {
		r.notice(w.o.Clock.Now())
	}
	r.status.State = activities.RunStopping
	w.post(r)
	w.warn(r, grace)
}

// warn gives a replica its time to go; of several the earliest end counts.
func (w *World) warn(r *replica, grace time.Duration) {
	now := w.o.Clock.Now()
	first := !r.asked
	r.asked = true
	if at := now.Add(max(grace, 0)); first || at.Before(r.killAt) {
		r.killAt = at
	}
	if first && r.phase != "" {
		w.enter(r, events.PhaseDraining)
	}
	w.askAgain(r)
}

// askAgain lets an order reach a replica; one on a node out of reach hears it when that returns.
func (w *World) askAgain(r *replica) {
	if !r.asked || !r.alive() || w.lost[r.status.Node] {
		return
	}
	if r.phase == "" || r.rank != nil && r.rank.Started.IsZero() { // nothing runs yet
		w.finish(r, events.CauseDrained, 0)
		return
	}
	left := r.killAt.Sub(w.o.Clock.Now())
	if left <= 0 && r.rank != nil && !r.rank.NoticedAt.IsZero() {
		w.finish(r, events.CauseDrained, exitKilled) // its agent tells
		return
	}
	if left <= 0 {
		w.finish(r, events.CauseKilled, 0)
		return
	}
	w.after(r, left, func() { w.askAgain(r) })
	if !r.fate.Deaf {
		w.after(r, r.fate.Drain, func() { w.finish(r, events.CauseDrained, r.drainedCode()) })
	}
}

// finish ends a replica's life.
func (w *World) finish(r *replica, cause string, code int) {
	for _, stop := range r.stops {
		stop()
	}
	if r.silence != nil {
		r.silence()
	}
	r.stops, r.silence = nil, nil
	r.status.State, r.status.Ended = activities.RunGone, w.o.Clock.Now()
	r.status.Cause, r.status.ExitCode = cause, code
	if cause == events.CauseCrashed || cause == events.CauseNeverReady {
		lines := r.fate.Output[:r.written]
		r.status.Message = strings.Join(lines[max(0, len(lines)-quoted):], "\n")
	}
	r.end(r.status.Ended, cause, code)
	hb := r.heartbeat(r.status.Ended, events.PhaseExited)
	r.status.Last = &hb
	w.enter(r, events.PhaseExited)
	w.post(r)
}

// enter changes the phase, which the agent tells at once.
func (w *World) enter(r *replica, p events.Phase) {
	r.phase = p
	if r.changed != nil {
		close(r.changed)
	}
	r.changed = make(chan struct{})
	w.post(r)
	w.beat(r)
}

// post tells what a provider sees: of a node out of reach, that it is.
func (w *World) post(r *replica) { w.board.Post(w.seen(r)) }

func (w *World) seen(r *replica) activities.ReplicaStatus {
	s := r.status
	if w.lost[s.Node] {
		s.State, s.Ended, s.Cause, s.Message, s.ExitCode, s.Last = activities.RunUnknown, time.Time{}, "", "", 0, nil
	}
	return s
}

// beatOn sends a heartbeat now and then for as long as the replica lives.
func (w *World) beatOn(r *replica) {
	if w.o.Beat == nil || w.o.Every < 0 {
		return
	}
	r.silence = w.o.Clock.AfterFunc(w.o.Every, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if r.alive() {
			w.beat(r)
			w.beatOn(r)
		}
	})
}

// beat sends one heartbeat, unless its node is out of reach or it does not run yet.
func (w *World) beat(r *replica) {
	if w.o.Beat == nil || w.lost[r.status.Node] || r.phase == "" {
		return
	}
	hb := r.heartbeat(w.o.Clock.Now(), r.phase)
	if w.o.Fill != nil {
		w.o.Fill(&hb)
	}
	w.o.Beat(hb)
}

func (r *replica) heartbeat(now time.Time, p events.Phase) events.Heartbeat {
	hb := events.Heartbeat{
		Replica: r.spec.ID, Revision: r.spec.Revision, Phase: p, At: now, Receipt: r.receipt,
		Cause: r.status.Cause, Message: r.status.Message, ExitCode: r.status.ExitCode,
		Rank: r.progress(now),
	}
	if hb.Rank == nil {
		hb.Slots = max(r.spec.Spec.Scaling.Slots, 1)
	}
	return hb
}
