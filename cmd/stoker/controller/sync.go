package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// listen subscribes a function to its wakes before it goes to zero, and keeps an awake one
// unsubscribed, so that a warm request costs the controller nothing.
func (c *Controller) listen(f *function, d scale.Decision) {
	awake := d.Target > 0 && f.hasReady()
	switch {
	case awake && f.unwake != nil:
		c.unlisten(f)
	case !awake && f.unwake == nil && !f.rec.Deleting:
		sub, err := c.Bus.OnWake(f.key, func(w events.Wake) {
			c.offer(func() { c.wake(w.Key, w.Class, w.At) })
		})
		if err != nil {
			c.Log.Warn("no subscription to wakes; the reconcile stands in", "function", f.key.String(), "error", err)
			return
		}
		f.unwake = sub
	}
}

func (c *Controller) unlisten(f *function) {
	if f.unwake == nil {
		return
	}
	if err := f.unwake.Unsubscribe(); err != nil {
		c.Log.Debug("wakes not unsubscribed", "function", f.key.String(), "error", err)
	}
	f.unwake = nil
}

func (f *function) hasReady() bool {
	for _, r := range f.replicas {
		if r.phase == workflows.PhaseReady {
			return true
		}
	}
	return false
}

func (c *Controller) unsubscribeAll() {
	for _, f := range c.fns {
		c.unlisten(f)
	}
}

// wantsSync tells whether the workflow lacks something: a newer decision, a phase, a replica,
// or another try at what it could not do.
func (f *function) wantsSync(now time.Time, free int) bool {
	if f.syncing || f.deleted || (!f.retryAt.IsZero() && now.Before(f.retryAt)) {
		return false
	}
	last := f.stored.State.Last
	if f.wf == nil {
		return last.Epoch > 0 && (last.Target > 0 || len(f.replicas) > 0 || f.unsaved || f.rec.Deleting)
	}
	news, work := f.phaseNews()
	if work || f.orders(last) || f.wf.Trouble != "" || f.unmet(free) || f.overdueClose() {
		return true
	}
	if !news && f.wf.Epoch == last.Epoch {
		f.newsAt = time.Time{}
		return false
	}
	if f.newsAt.IsZero() {
		f.newsAt = now.Add(newsDelay)
	}
	return !now.Before(f.newsAt)
}

// firstSyncsAtOnce bounds how many workflows are made at once for functions that are at rest. Every
// function gets its workflow when it is deployed, so that nothing of it has to be made when it
// wakes; a thousand of them at once would stand before a wake, and leave the heap in pieces.
const firstSyncsAtOnce = 8

// first tells whether a function at rest has no workflow yet: making one is no work that anybody
// waits for.
func (f *function) first() bool {
	return f.wf == nil && f.unsaved && f.stored.State.Last.Target == 0 && len(f.replicas) == 0 && !f.rec.Deleting
}

// mayBegin tells whether a sync can go now, or has to wait its turn.
func (c *Controller) mayBegin(f *function) bool { return !f.first() || c.firsts < firstSyncsAtOnce }

// nextFirst begins the sync of a function that waits its turn.
func (c *Controller) nextFirst() {
	for _, f := range c.fns {
		if c.firsts >= firstSyncsAtOnce {
			return
		}
		if f.first() && !f.syncing && !c.Now().Before(f.retryAt) {
			c.evaluate(f)
		}
	}
}

// orders tells whether a decision asks for something that the one before did not.
func (f *function) orders(d scale.Decision) bool {
	was := f.carried
	return d.Target != was.Target || d.Revision != was.Revision || !slices.Equal(d.Victims, was.Victims)
}

// phaseNews compares what is known of the replicas with what the workflow knows: whether there
// is news for its logbook, and whether some of it is work, a replica to adopt or to release.
func (f *function) phaseNews() (news, work bool) {
	theirs := map[string]string{}
	for _, r := range f.wf.Replicas {
		theirs[r.ID] = r.Phase
	}
	for id, r := range f.replicas {
		phase, known := theirs[id]
		if !known || workflows.PhaseRank(r.phase) > workflows.PhaseRank(phase) {
			news = true
			work = work || !known || r.phase == workflows.PhaseExited
		}
	}
	return news, work
}

// unmet tells whether replicas are wanted that could not be started for want of GPUs, and that
// there is room for now.
func (f *function) unmet(free int) bool {
	if !f.lacks(f.stored.State.Last) {
		return false
	}
	return f.wf.Blocked == "" || free < 0 || free >= f.spec.GPUs
}

// lacks tells whether a decision asks for replicas that the workflow does not have.
func (f *function) lacks(d scale.Decision) bool {
	if f.wf == nil {
		return d.Target > 0
	}
	have := 0
	for _, r := range f.wf.Replicas {
		if r.Revision == d.Revision && workflows.PhaseRank(r.Phase) < workflows.PhaseRank(workflows.PhaseDraining) {
			have++
		}
	}
	return have < d.Target
}

// overdueClose tells whether a function at zero still has its consumers.
func (f *function) overdueClose() bool {
	return f.stored.State.Last.Target == 0 && len(f.wf.Replicas) == 0 && f.wf.Open && sum(f.counts) == 0
}

// sync sends the newest decision, one Update in flight per function. What changes meanwhile
// goes with the next one.
func (c *Controller) sync(f *function) {
	f.syncing = true
	first := f.first()
	if first {
		c.firsts++
	}
	in := f.message()
	store, rev, save := f.stored, f.storRev, f.unsaved
	f.unsaved = false
	c.metrics.Syncs.Add(1)
	if f.lacks(in.Decision) {
		c.Burst.Coming(f.key)
	}
	c.box.Outside(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, syncTimeout)
		defer cancel()
		var err error
		if save {
			rev, err = c.save(ctx, in.Key, store, rev)
		}
		var st workflows.Status
		if err == nil && in.Decision.Target == 0 {
			err = c.Bus.Flush(ctx) // the broker has the subscription to wakes before replicas go
		}
		if err == nil {
			st, err = c.Workflows.Sync(ctx, in)
		}
		c.Burst.Begun(in.Key)
		c.box.Post(func() {
			c.synced(f, in.Decision, rev, st, err)
			if first {
				c.firsts--
				c.nextFirst()
			}
		})
	})
}

// save writes a function's state and returns the revision it is at: the old one where the write
// failed.
func (c *Controller) save(ctx context.Context, k functions.Key, s Stored, rev uint64) (uint64, error) {
	now, err := c.State.Put(ctx, events.StateKey(k), s, rev)
	if err != nil {
		return rev, err
	}
	return now, nil
}

// message is everything the workflow should know now.
func (f *function) message() workflows.Sync {
	in := workflows.Sync{
		Key: f.key, Decision: f.stored.State.Last, Close: f.rec.Deleting,
		Deploy: workflows.Deploy{Revision: f.rec.Revision, Spec: workflows.Outline(f.rec.Function.Spec), Shard: f.rec.Shard, Demand: f.demand},
	}
	theirs := map[string]bool{}
	if f.wf != nil {
		for _, r := range f.wf.Replicas {
			theirs[r.ID] = true
		}
	}
	for _, r := range f.sorted() {
		in.Observed = append(in.Observed, workflows.ReplicaObservation{
			ID: r.id, Phase: r.phase, Cause: r.cause, ExitCode: r.exitCode, At: r.since, ColdMS: r.coldMS(),
		})
		if !theirs[r.id] {
			in.Adopt = append(in.Adopt, workflows.ReplicaState{
				ID: r.id, Revision: r.revision, Phase: r.phase, Since: r.since, Node: r.node, GPUs: f.spec.GPUs, Cause: r.cause,
			})
		}
	}
	return in
}

func (r *replica) coldMS() int64 {
	if !r.cold {
		return 0
	}
	return int64(api.ColdStartOf(r.id, r.beat.Receipt).TotalMS)
}

// synced takes over what the workflow made of a decision.
func (c *Controller) synced(f *function, d scale.Decision, rev uint64, st workflows.Status, err error) {
	f.syncing, f.storRev = false, rev
	if err != nil {
		c.syncFailed(f, err)
		return
	}
	f.retryAt, f.newsAt, f.wf, f.carried = time.Time{}, time.Time{}, &st, d
	now := c.Now()
	for _, r := range st.Replicas {
		mine := f.replica(r.ID, r.Revision, now)
		if r.Phase == workflows.PhaseDraining || r.Phase == workflows.PhaseStopping {
			mine.advance(r.Phase, r.Since)
		}
	}
	if f.forgetReleased(st) {
		c.roomAgain(f)
	}
	for _, x := range st.Failed {
		c.failed(f, &replica{id: x.ID, cause: x.Cause, message: x.Message}, false, now)
	}
	if st.Pending > 0 && sum(f.waiting()) == 0 {
		f.counts[functions.Standard] += st.Pending // a count without classes; the reconcile sorts it out
	}
	if why := c.heldUp(f, st); why != "" {
		c.backOff(f, errors.New(why))
	} else {
		f.fails = 0
	}
	if st.Superseded { // the record that this decision rests on is not the stored one
		c.box.Outside(func(ctx context.Context) { c.refresh(ctx, f.key) })
	}
	c.evaluate(f)
}

// heldUp says what kept a workflow from carrying a decision out, "" where nothing did. A function that
// lacks GPUs is not: it is looked at again once some are free.
func (c *Controller) heldUp(f *function, st workflows.Status) string {
	switch {
	case st.Trouble != "":
		return st.Trouble
	case st.Superseded, st.Blocked != "" && f.free(c.room()) != 0: // something else than GPUs is short
		return st.Blocked
	}
	return ""
}

// forgetReleased drops the replicas whose leases the workflow has given back, and those of which
// nothing was ever seen: the workflow wrote them down, could not start them, and gave them up.
func (f *function) forgetReleased(st workflows.Status) (any bool) {
	theirs := map[string]bool{}
	for _, r := range st.Replicas {
		theirs[r.ID] = true
	}
	for _, r := range f.sorted() {
		switch unseen := r.run == "" && r.beat.At.IsZero(); {
		case theirs[r.id]:
		case r.phase == workflows.PhaseExited:
			f.settle(r)
			delete(f.replicas, r.id)
			any = true
		case unseen:
			delete(f.replicas, r.id)
			any = true
		}
	}
	return any
}

// roomAgain decides again for the functions that wait for GPUs, now that some were given back.
func (c *Controller) roomAgain(from *function) {
	c.divided.at = time.Time{}
	for _, f := range c.fns {
		if f != from && f.lacksGPUs() {
			c.evaluate(f)
		}
	}
}

func (c *Controller) syncFailed(f *function, err error) {
	c.metrics.SyncErrors.Add(1)
	f.unsaved = true
	switch {
	case c.ctx.Err() != nil:
		return
	case errors.Is(err, events.ErrConflict):
		c.reload(f)
	case errors.Is(err, workflows.ErrStale):
		c.catchUp(f)
	}
	c.backOff(f, err)
	c.publishAdmission(f)
}

// backOff sets when the next try is: 250 ms, doubled, at most syncBackoffMax.
func (c *Controller) backOff(f *function, err error) {
	f.fails++
	pause := min(250*time.Millisecond<<min(f.fails-1, 10), syncBackoffMax)
	f.retryAt = c.Now().Add(pause)
	c.Log.Warn("workflow not in step, trying again", "function", f.key.String(), "tries", f.fails, "pause", pause, "error", err)
}

// reload reads the state another controller wrote.
func (c *Controller) reload(f *function) {
	c.box.Outside(func(ctx context.Context) {
		st, rev, err := c.State.Get(ctx, events.StateKey(f.key))
		if err != nil && !errors.Is(err, events.ErrNotFound) {
			return
		}
		c.box.Post(func() { f.stored, f.storRev = st, rev })
	})
}

// catchUp raises the epoch above the workflow's, for a state that was lost or restored from an
// older copy.
func (c *Controller) catchUp(f *function) {
	c.box.Outside(func(ctx context.Context) {
		st, err := c.Workflows.Status(ctx, f.key)
		if err != nil {
			return
		}
		c.box.Post(func() {
			if s := &f.stored.State; s.Epoch <= st.Epoch {
				s.Epoch = st.Epoch + 1
				s.Last.Epoch = s.Epoch
			}
		})
	})
}

// orphan ends what runs for no function: its manifest was deleted while the platform was down.
func (c *Controller) orphan(s activities.ReplicaStatus) {
	c.box.Outside(func(ctx context.Context) {
		var err error
		if s.State == activities.RunGone {
			err = errors.Join(c.Ledger.Release(ctx, s.ID, "orphan"), c.Provider.Forget(ctx, s.ID))
		} else if s.State != activities.RunStopping {
			c.Log.Warn("stopping a replica of no function", "replica", s.ID, "function", s.Key.String())
			err = c.Provider.Stop(ctx, s.ID, 0)
		}
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("orphan not ended", "replica", s.ID, "error", fmt.Errorf("%s: %w", s.State, err))
		}
	})
}

func sum(m map[functions.Class]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}
