package dispatch

import (
	"context"
	"slices"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
)

// checkMissing looks for ranks that their provider knows nothing of: its records were lost, say, and
// with them whatever ran.
func (d *Dispatcher) checkMissing() {
	if !d.anyHolds() {
		return
	}
	d.box.Outside(func(ctx context.Context) {
		running, err := d.Provider.List(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.Log.Warn("ranks not looked for", "error", err)
			}
			return
		}
		d.box.Post(func() { d.missing(running) })
	})
}

// anyHolds tells whether any GPU is, or should be, a job's.
func (d *Dispatcher) anyHolds() bool {
	for _, e := range d.jobs {
		if e.Life.Gang != nil {
			return true
		}
	}
	return slices.ContainsFunc(d.Ledger.Newest().Leases, func(l scale.Lease) bool {
		return l.State != scale.Released && activities.OwnedByJob(l)
	})
}

// releaseStray gives back leases of jobs that no gang has, once they are so old that no start can be
// under way: whoever was to release them has lost count.
func (d *Dispatcher) releaseStray(there map[string]bool, now time.Time) {
	if d.anyUnknown() {
		return
	}
	held := map[string]bool{}
	for _, e := range d.jobs {
		for n := range e.placed.Nodes { // also while its workflow is about to release them
			held[e.gang(e.placed.Generation, e.placed.Nodes).RankID(n)] = true
		}
		if g := e.Life.Gang; g != nil {
			for n := range g.Nodes {
				held[e.gang(e.Life.Generation, g.Nodes).RankID(n)] = true
			}
		}
	}
	for _, l := range d.Ledger.Newest().Leases {
		if l.State != scale.Bound && l.State != scale.Drain || !activities.OwnedByJob(l) || held[l.Holder] || there[l.Holder] || now.Sub(l.Since) < unknownFor {
			continue
		}
		d.Log.Warn("releasing a lease without a holder", "holder", l.Holder, "owner", l.Owner, "state", l.State)
		d.box.Outside(func(ctx context.Context) {
			if err := d.Ledger.Release(ctx, l.Holder, "stray"); err != nil && ctx.Err() == nil {
				d.Log.Warn("stray lease not released", "holder", l.Holder, "error", err)
			}
		})
	}
}

func (d *Dispatcher) missing(running []activities.ReplicaStatus) {
	there := map[string]bool{}
	for _, s := range running {
		there[s.ID] = true
		_, generation, _, _ := rankOf(s.ID)
		if e, _ := d.find(s.Key, s.ID); s.State == activities.RunGone || e == nil || generation < e.Life.Generation {
			d.observe(s) // in case it was seen before its gang was known
		}
	}
	now := d.Now()
	d.releaseStray(there, now)
	for _, e := range d.jobs {
		g := e.Life.Gang
		if g == nil || e.Life.Phase == job.Admitted || e.placedAt.IsZero() || now.Sub(e.placedAt) < unknownFor {
			continue
		}
		ref := e.gang(e.Life.Generation, g.Nodes)
		for n := range g.Ranks {
			r := e.seen(n)
			if g.Ranks[n].End != nil || there[ref.RankID(n)] || now.Sub(r.heard) < unknownFor {
				continue
			}
			d.Log.Warn("rank is in no provider's list; taking it for gone", "job", e.key.String(), "rank", ref.RankID(n))
			r.status = activities.ReplicaStatus{ID: ref.RankID(n), State: activities.RunGone, Cause: events.CauseAgentLost, Started: g.Placed, Ended: now}
			r.told.ended = false
			e.conclude(n, r, now)
		}
		d.tell(e)
	}
}
