package controller

import (
	"context"
	"errors"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// unknownFor is how long a replica may be in nobody's list before it counts as gone: a start
// under way is in the workflow first and at the provider a moment later.
const unknownFor = activitiesPatience + driftEvery

// activitiesPatience is how long a workflow tries to start a replica.
const activitiesPatience = 30 * time.Second

// checkDrift compares provider, ledger and what is known here. Truth comes in this order: the
// provider, the ledger, the workflow.
func (c *Controller) checkDrift() {
	c.outside(func(ctx context.Context) {
		inv, invErr := c.Provider.Inventory(ctx)
		running, err := c.Provider.List(ctx)
		if invErr == nil {
			invErr = c.Ledger.SetInventory(ctx, inv)
		}
		_, expErr := c.Ledger.Expire(ctx)
		if err := errors.Join(err, invErr, expErr); err != nil {
			if ctx.Err() == nil {
				c.Log.Warn("drift not checked", "error", err)
			}
			return
		}
		c.post(func() { c.repair(running) })
	})
}

func (c *Controller) repair(running []activities.ReplicaStatus) {
	now := c.Now()
	alive := map[string]bool{}
	for _, s := range running {
		alive[s.ID] = true
		if c.fns[s.Key] == nil {
			c.orphan(s)
		}
	}
	known := map[string]bool{}
	for _, f := range c.fns {
		for _, r := range f.sorted() {
			known[r.id] = true
			if alive[r.id] {
				r.runAt = now
			} else if r.phase != workflows.PhaseExited && now.Sub(r.runAt) > unknownFor {
				c.vanish(f, r)
			}
		}
	}
	c.releaseStrays(alive, known, now)
}

// vanish ends a replica its provider knows nothing of.
func (c *Controller) vanish(f *function, r *replica) {
	c.Log.Warn("replica is in no provider's list; taking it for gone", "function", f.key.String(), "replica", r.id)
	c.gone(f, r, activities.ReplicaStatus{ID: r.id, State: activities.RunGone, Cause: events.CauseAgentLost, Ended: c.Now()})
	c.evaluate(f)
}

// releaseStrays gives back leases whose holder neither runs nor is known, once they are old
// enough that no start can be under way.
func (c *Controller) releaseStrays(alive, known map[string]bool, now time.Time) {
	for _, l := range c.Ledger.Snapshot().Leases {
		if l.State == scale.Released || l.State == scale.Reserved || alive[l.Holder] || known[l.Holder] || now.Sub(l.Since) < unknownFor {
			continue
		}
		c.Log.Warn("releasing a lease without a holder", "holder", l.Holder, "owner", l.Owner, "state", l.State)
		c.outside(func(ctx context.Context) {
			if err := c.Ledger.Release(ctx, l.Holder, "stray"); err != nil && ctx.Err() == nil {
				c.Log.Warn("stray lease not released", "holder", l.Holder, "error", err)
			}
		})
	}
}
