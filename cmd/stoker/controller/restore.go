package controller

import (
	"context"
	"errors"
	"fmt"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// restore reads what is deployed, what was decided and what runs. Nothing is started or
// stopped here: the first evaluation of each function does that.
func (c *Controller) restore(ctx context.Context) error {
	deployed, err := c.Functions.List(ctx)
	if err != nil {
		return fmt.Errorf("list the deployed functions: %w", err)
	}
	for _, e := range deployed {
		if err := c.restoreOne(ctx, e); err != nil {
			return err
		}
	}
	if err := c.restoreSubjects(ctx); err != nil {
		return err
	}
	running, err := c.Provider.List(ctx)
	if err != nil {
		return fmt.Errorf("list what runs at the %s provider: %w", c.Provider.Name(), err)
	}
	c.adopt(running)
	for _, f := range c.fns {
		c.evaluate(f)
	}
	return nil
}

func (c *Controller) restoreOne(ctx context.Context, e events.Entry[events.FunctionRecord]) error {
	k, err := events.ParseStateKey(e.Key)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", events.BucketFunctions, err)
	}
	f := newFunction(k)
	f.setRecord(e.Value, e.Rev)
	f.stored, f.storRev, err = c.State.Get(ctx, e.Key)
	if err != nil && !errors.Is(err, events.ErrNotFound) {
		return fmt.Errorf("read the state of %s: %w", k, err)
	}
	c.fns[k] = f
	return nil
}

// restoreSubjects lets requests in. The subjects are there already, unless the platform died
// between record and deploy.
func (c *Controller) restoreSubjects(ctx context.Context) error {
	var plans []applyPlan
	for k, f := range c.fns {
		if !f.rec.Deleting {
			plans = append(plans, applyPlan{key: k, rec: f.rec})
		}
	}
	return c.openSubjects(ctx, plans)
}

// adopt takes over the replicas that lived through the restart: same process, nothing lost.
func (c *Controller) adopt(running []activities.ReplicaStatus) {
	now := c.Now()
	for _, s := range running {
		if isRank(s.Key) {
			continue
		}
		f := c.fns[s.Key]
		if f == nil {
			c.orphan(s)
			continue
		}
		r := f.replica(s.ID, s.Revision, now)
		if s.Last != nil {
			r.beat, r.cold = *s.Last, !s.Last.Receipt.Ready.IsZero()
			c.tell(r.beat)
			if s.Last.Phase != events.PhaseExited {
				r.advance(string(s.Last.Phase), s.Last.At)
			}
		}
		if s.State == activities.RunStopping {
			r.advance(workflows.PhaseDraining, now)
		}
		c.observeQuietly(f, r, s)
	}
}

// observeQuietly is observe without a decision, for the restore.
func (c *Controller) observeQuietly(f *function, r *replica, s activities.ReplicaStatus) {
	r.run, r.runAt, r.node, r.started, r.waits = s.State, c.Now(), s.Node, s.Started, waits(s)
	if s.State == activities.RunGone {
		c.gone(f, r, s)
	}
}

// waits says what keeps a replica from running, or from going, in its provider's eyes.
func waits(s activities.ReplicaStatus) string {
	switch {
	case s.State != activities.RunStarting && s.State != activities.RunStopping || s.Cause == "":
		return ""
	case s.Message == "":
		return s.Cause
	}
	return s.Cause + ": " + s.Message
}

// reconcile counts what is stored on each shard in use, and ends what no agent will.
func (c *Controller) reconcile() {
	shards := map[int]bool{}
	for _, f := range c.fns {
		shards[f.rec.Shard] = true
	}
	for shard := range shards {
		c.box.Outside(func(ctx context.Context) {
			counts, err := c.Bus.Pending(ctx, shard)
			if c.countFailed(ctx, shard, err) {
				return
			}
			c.box.Post(func() { c.counted(shard, counts) })
		})
	}
}

// countFailed tells whether a count failed, and logs the first failure and the first success after
// it: a broker that is away is news once.
func (c *Controller) countFailed(ctx context.Context, shard int, err error) bool {
	switch {
	case err == nil && c.uncounted.Swap(false):
		c.Log.Info("queues are counted again")
	case err != nil && ctx.Err() == nil && !c.uncounted.Swap(true):
		c.Log.Warn("queues not counted, trying again", "shard", shard, "error", err)
	}
	return err != nil
}

// counted takes over the counts of one shard. Functions at zero with nothing stored are not
// looked at: an idle platform decides nothing.
func (c *Controller) counted(shard int, counts map[functions.Key]map[functions.Class]uint64) {
	for k, f := range c.fns {
		if f.rec.Shard != shard {
			continue
		}
		fresh := ints(counts[k])
		f.searched = f.searched || sum(fresh) == 0 // nothing was left behind
		if f.atRest() && sum(fresh) == 0 {
			clear(f.counts)
			continue
		}
		f.counts = fresh
		if f.demand.IsZero() && sum(fresh) > 0 && !f.hasReady() {
			f.demand = c.Now()
		}
		c.evaluate(f)
		c.reap(f)
	}
}

func ints(m map[functions.Class]uint64) map[functions.Class]int {
	out := make(map[functions.Class]int, len(m))
	for c, n := range m {
		out[c] = int(n)
	}
	return out
}

// atRest tells whether a function is at zero with nothing under way or waiting its turn.
func (f *function) atRest() bool {
	d := f.stored.State.Last
	return len(f.replicas) == 0 && !f.first() && (f.wf == nil || !f.wf.Open) && !f.syncing && d.Target == 0 && f.retryAt.IsZero() && !f.rec.Deleting &&
		(d.Phase == scale.PhaseZero || d.Phase == scale.PhasePaused)
}
