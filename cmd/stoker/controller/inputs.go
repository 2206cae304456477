package controller

import (
	"cmp"
	"slices"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// wake takes the broker's word that a request of a function at zero was stored.
func (c *Controller) wake(k functions.Key, class functions.Class, at time.Time) {
	f := c.fns[k]
	if f == nil {
		return
	}
	c.metrics.Wakes.Add(1)
	f.counts[class]++
	if f.demand.IsZero() {
		f.demand = at
	}
	c.evaluate(f)
}

// beat takes what an agent says of its replica.
func (c *Controller) beat(k functions.Key, h events.Heartbeat) {
	c.metrics.Beats.Add(1)
	f := c.fns[k]
	if f == nil {
		return
	}
	if f.replicas[h.Replica] == nil && c.over(h) {
		return
	}
	r := f.replica(h.Replica, h.Revision, c.Now())
	f.account(r.beat.Totals, h.Totals)
	r.beat, r.beatAt = h, c.Now()
	c.tell(h)
	f.raise(h.Pending)
	moved := h.Phase != events.PhaseExited && r.advance(string(h.Phase), h.At)
	if h.Phase == events.PhaseExited {
		r.explain(h.Cause, h.Message, h.ExitCode)
		c.endLingering(r, c.Now())
	} else {
		r.lastWordAt = time.Time{} // it was not the last: its agent was started again
	}
	if moved && h.Phase == events.PhaseReady {
		c.becameReady(f, r)
	}
	c.evaluate(f)
}

// over tells whether a heartbeat of a replica that is not known is a last word, come late: what
// is gone and released does not come back.
func (c *Controller) over(h events.Heartbeat) bool {
	l, ok := c.Ledger.Snapshot().Lease(h.Replica)
	return h.Phase == events.PhaseExited || (ok && l.State == scale.Released)
}

// replica finds or makes the entry of a replica.
func (f *function) replica(id, revision string, now time.Time) *replica {
	r := f.replicas[id]
	if r == nil {
		r = &replica{id: id, revision: revision, phase: workflows.PhaseStarting, since: now, beatAt: now, runAt: now}
		f.replicas[id] = r
	}
	if r.revision == "" {
		r.revision = revision
	}
	return r
}

// account adds what happened between two heartbeats to what scale has not seen yet. An agent
// counts from its own start, so the difference is what is new.
func (f *function) account(old, now events.Totals) {
	served, failed := now.Served-min(old.Served, now.Served), now.Failed-min(old.Failed, now.Failed)
	f.stored.Served += served
	f.stored.Failed += failed
	f.ended += served + failed
	f.late += int(now.Late - min(old.Late, now.Late))
	f.serviceSec += max(now.ServiceSec-old.ServiceSec, 0)
}

// raise takes an agent's newer, higher count of what waits. A lower one may be old (it comes
// with the last delivered message), so lowering is left to the reconcile.
func (f *function) raise(pending map[functions.Class]uint64) {
	waiting := f.waiting()
	for _, c := range functions.Classes() {
		if more := int(pending[c]) - waiting[c]; more > 0 {
			f.counts[c] += more
		}
	}
}

// becameReady notes the cold start of a replica, once.
func (c *Controller) becameReady(f *function, r *replica) {
	if r.cold {
		return
	}
	r.cold = true
	cold := api.ColdStartOf(r.id, r.beat.Receipt)
	// What was waited for a GPU says nothing about the next cold start.
	if r := r.beat.Receipt; r.Ready.After(r.Reserved) && !r.Reserved.IsZero() {
		f.colds = append(f.colds, r.Ready.Sub(r.Reserved))
	}
	f.stored.Cold, f.unsaved = &cold, true
	f.demand = time.Time{}
	c.emit(f.key, "replica-ready", map[string]any{"replica": r.id, "revision": r.revision, "coldStart": cold})
}

// observe takes the provider's word on a replica. Only the provider says that one is gone.
func (c *Controller) observe(s activities.ReplicaStatus) {
	if isRank(s.Key) {
		return
	}
	f := c.fns[s.Key]
	if f == nil {
		c.orphan(s)
		return
	}
	if s.State == activities.RunGone && f.replicas[s.ID] == nil {
		return // released already
	}
	r := f.replica(s.ID, s.Revision, c.Now())
	c.observeQuietly(f, r, s)
	c.evaluate(f)
}

// gone notes the end of a replica; one that nobody asked to go counts as an exit. Its phase says
// nothing about that: an agent drains by itself when its model server has died.
func (c *Controller) gone(f *function, r *replica, s activities.ReplicaStatus) {
	ready := !r.beat.Receipt.Ready.IsZero()
	if s.Last != nil {
		f.account(r.beat.Totals, s.Last.Totals)
		r.beat = *s.Last
		c.tell(*s.Last)
		ready = ready || !s.Last.Receipt.Ready.IsZero()
	}
	r.overrule(s)
	r.explain(s.Cause, s.Message, s.ExitCode)
	r.beat.InFlight = 0
	at := s.Ended
	if at.IsZero() {
		at = c.Now()
	}
	if !r.advance(workflows.PhaseExited, at) || f.asked(r) {
		return
	}
	c.failed(f, r, ready, at)
}

// asked tells whether a replica that ended was to go: by a decision, or by the platform itself,
// which drains or kills what it stops.
func (f *function) asked(r *replica) bool {
	return r.cause == events.CauseDrained || r.cause == events.CauseKilled || slices.Contains(f.stored.State.Last.Victims, r.id)
}

// failed counts an exit nobody asked for.
func (c *Controller) failed(f *function, r *replica, ready bool, at time.Time) {
	f.exits = append(f.exits, scale.Exit{
		ID: r.id, Revision: r.revision, Cause: r.cause, At: at, Ready: ready, ReadyFor: r.readyFor(at),
		Served: r.beat.Totals.Served, Message: r.message,
	})
	f.stored.Failure = &api.Failure{Replica: r.id, Cause: r.cause, ExitCode: r.exitCode, Message: r.message, At: at}
	f.unsaved = true
	c.emit(f.key, "replica-failed", map[string]any{"replica": r.id, "cause": r.cause, "exitCode": r.exitCode, "message": r.message})
}

// readyFor is how long the replica served; 0 if it never did.
func (r *replica) readyFor(end time.Time) time.Duration {
	if ready := r.beat.Receipt.Ready; !ready.IsZero() {
		return max(end.Sub(ready), 0)
	}
	return 0
}

// explain keeps the first cause told: the agent's own account is better than the provider's.
func (r *replica) explain(cause, message string, code int) {
	if r.cause == "" {
		r.cause = cause
	}
	if r.message == "" {
		r.message = message
	}
	if r.exitCode == 0 {
		r.exitCode = code
	}
}

// decidedOutside are the causes that came from beyond the replica. All that its agent can see of one is
// that it is asked to go, or that its model server goes.
var decidedOutside = []string{
	events.CauseOutOfMemory, events.CauseEvicted, events.CausePreempted, events.CausePodDeleted, events.CauseNodeLost,
	events.CauseUnschedulable, events.CauseImagePull,
}

// overrule puts a provider's account in the place of an agent's that cannot know better: what was
// decided outside, why it was asked to go, and how a server ended that was not the agent's child.
func (r *replica) overrule(s activities.ReplicaStatus) {
	outside := slices.Contains(decidedOutside, s.Cause)
	asked := r.cause == events.CauseDrained && s.Cause != "" && s.Cause != events.CauseKilled
	unseen := r.cause == events.CauseCrashed && s.Cause == r.cause && r.beat.ServerPID == 0
	if outside || asked || unseen {
		r.cause, r.message = s.Cause, cmp.Or(s.Message, r.message)
	}
}

// settle keeps the GPU time of a replica that leaves. What its agent could not account for any
// more, between its last word and its end, is unknown, not useful.
func (f *function) settle(r *replica) {
	f.stored.Cold = f.coldStart()
	gpus := float64(f.rec.Function.Spec.Resources.GPUs)
	told := spent(r.beat.Totals)
	f.stored.Split = f.stored.Split.Add(told.Scale(gpus))
	if !r.started.IsZero() && r.phase == workflows.PhaseExited {
		f.stored.Split.Unknown += max(r.since.Sub(r.started).Seconds()-told.Total(), 0) * gpus
	}
	f.unsaved = true
}
