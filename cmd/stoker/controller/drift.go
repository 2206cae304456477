package controller

import (
	"context"
	"errors"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/capacity"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/workflows"
)

// unknownFor is how long a replica may be in nobody's list before it counts as gone: a start
// under way is in the workflow and the ledger first and at the provider a moment later. It is
// longer than a workflow tries to start a replica.
const unknownFor = 40 * time.Second

// inventorySettles is how long changes of the inventory are collected before it is looked at: a node
// that comes or goes brings dozens.
const inventorySettles = 500 * time.Millisecond

// inventoryChanges tells of them, where the provider does; nil never receives.
func (c *Controller) inventoryChanges() <-chan struct{} {
	if a, ok := c.Provider.(activities.Announcer); ok {
		return a.Changed()
	}
	return nil
}

// checkDriftSoon looks at the inventory once its changes have settled.
func (c *Controller) checkDriftSoon() {
	if c.soon {
		return
	}
	c.soon = true
	c.box.Outside(func(ctx context.Context) {
		select {
		case <-time.After(inventorySettles):
		case <-ctx.Done():
			return
		}
		c.box.Post(func() {
			c.soon = false
			c.checkDrift()
		})
	})
}

// checkDrift compares provider, ledger and what is known here. Truth comes in this order: the
// provider, the ledger, the workflow.
func (c *Controller) checkDrift() {
	c.box.Outside(func(ctx context.Context) {
		inv, invErr := c.Provider.Inventory(ctx)
		running, err := c.Provider.List(ctx)
		if invErr == nil {
			invErr = c.Ledger.SetInventory(ctx, inv)
		}
		var drift capacity.Drift
		if err == nil {
			drift, err = c.Ledger.Adopt(ctx, running)
		}
		if err := errors.Join(err, invErr); err != nil {
			if ctx.Err() == nil {
				c.Log.Warn("drift not checked", "error", err)
			}
			return
		}
		c.box.Post(func() { c.repair(running, drift) })
	})
}

func (c *Controller) repair(running []activities.ReplicaStatus, drift capacity.Drift) {
	now := c.Now()
	alive := map[string]bool{}
	for _, s := range running {
		alive[s.ID] = true
		if c.fns[s.Key] == nil && !isRank(s.Key) {
			c.orphan(s)
		}
	}
	known := map[string]bool{}
	for _, f := range c.fns {
		for _, r := range f.sorted() {
			known[r.id] = true
			if alive[r.id] {
				r.runAt = now
				c.endLingering(r, now)
			} else if r.phase != workflows.PhaseExited && now.Sub(r.runAt) > unknownFor {
				c.vanish(f, r)
			}
		}
	}
	for _, id := range drift.Unleased {
		c.kill(id, "it has no lease")
	}
	for _, holder := range drift.Missing {
		c.releaseStray(holder, known[holder], now)
	}
	c.lookAgain()
}

// isRank tells whether a replica is a rank of a training job, which is the dispatcher's to mind.
func isRank(k functions.Key) bool {
	_, yes := events.JobOfRank(k)
	return yes
}

// LookAgain has functions decided again that wait for capacity: a training job has given some back.
func (c *Controller) LookAgain() { c.offer(c.lookAgain) }

// lookAgain decides again for functions that wait for capacity: a device may have come back.
func (c *Controller) lookAgain() {
	for _, f := range c.fns {
		if !f.atRest() {
			c.evaluate(f)
		}
	}
}

// lingers is how long what is left of a replica may run on after its agent has said its last word.
const lingers = 5 * time.Second

// endLingering stops what is left of a replica whose agent gave it up: one that does not own the
// model server, as in a Pod, can only say so, and says it again each second. What is on its way out
// already has its own grace, and whoever sent it its own reasons.
func (c *Controller) endLingering(r *replica, now time.Time) {
	switch {
	case r.beat.Phase != events.PhaseExited || r.run != activities.RunStarting && r.run != activities.RunRunning:
	case r.lastWordAt.IsZero():
		r.lastWordAt = now
	case now.Sub(r.lastWordAt) > lingers:
		r.lastWordAt = now
		c.kill(r.id, "its agent has said its last word, and it still runs")
	}
}

// vanish ends a replica its provider knows nothing of.
func (c *Controller) vanish(f *function, r *replica) {
	c.Log.Warn("replica is in no provider's list; taking it for gone", "function", f.key.String(), "replica", r.id)
	c.gone(f, r, activities.ReplicaStatus{ID: r.id, State: activities.RunGone, Cause: events.CauseAgentLost, Ended: c.Now()})
	c.evaluate(f)
}

// kill ends what runs on GPUs the ledger has given to nobody, or to somebody else.
func (c *Controller) kill(id, why string) {
	c.Log.Warn("stopping a replica", "replica", id, "why", why)
	c.box.Outside(func(ctx context.Context) {
		if err := c.Provider.Stop(ctx, id, 0); err != nil && ctx.Err() == nil {
			c.Log.Warn("replica not stopped", "replica", id, "error", err)
		}
	})
}

// releaseStray gives back a lease whose holder neither runs nor is known, once it is old enough
// that no start can be under way. A known holder's lease is its workflow's to give back.
func (c *Controller) releaseStray(holder string, known bool, now time.Time) {
	l, ok := c.Ledger.Snapshot().Lease(holder)
	if !ok || known || activities.OwnedByJob(l) || now.Sub(l.Since) < unknownFor {
		return
	}
	c.Log.Warn("releasing a lease without a holder", "holder", holder, "owner", l.Owner, "state", l.State)
	c.box.Outside(func(ctx context.Context) {
		if err := c.Ledger.Release(ctx, holder, "stray"); err != nil && ctx.Err() == nil {
			c.Log.Warn("stray lease not released", "holder", holder, "error", err)
		}
	})
}
