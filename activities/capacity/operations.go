package capacity

import (
	"context"
	"slices"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/scale"
)

var (
	_ activities.Ledger     = (*Writer)(nil)
	_ activities.GangLedger = (*Writer)(nil)
)

// Reserve implements [activities.Ledger].
func (w *Writer) Reserve(ctx context.Context, asks []scale.Ask, ttl time.Duration) ([]activities.Claim, error) {
	var claims []activities.Claim
	err := w.do(ctx, func(l *scale.Ledger, now time.Time) error {
		claims = make([]activities.Claim, len(asks))
		for i, ask := range asks {
			claims[i].Lease, claims[i].Err = l.Reserve(ask, ttl, now)
		}
		return nil
	})
	if err != nil {
		return nil, err // a batch under way may still write to claims
	}
	return claims, nil
}

// ReserveGang implements [activities.GangLedger].
func (w *Writer) ReserveGang(ctx context.Context, asks []scale.Ask, ttl time.Duration) ([]scale.Lease, error) {
	var leases []scale.Lease
	err := w.do(ctx, func(l *scale.Ledger, now time.Time) (err error) {
		leases, err = l.ReserveGang(asks, ttl, now)
		return err
	})
	if err != nil {
		return nil, err // a batch under way may still write to leases
	}
	return leases, nil
}

// Bind implements [activities.Ledger]. It counts as of the start, however long the word of it
// takes: a reservation must not run out under what runs. Errors: those of [scale.Ledger.Bind].
func (w *Writer) Bind(ctx context.Context, holder string, epoch uint64, at time.Time) error {
	return w.do(ctx, func(l *scale.Ledger, now time.Time) error { return l.Bind(holder, epoch, earlier(at, now)) })
}

// MarkDraining implements [activities.Ledger]. Errors: [scale.ErrUnknownHolder].
func (w *Writer) MarkDraining(ctx context.Context, holder string) error {
	return w.do(ctx, func(l *scale.Ledger, now time.Time) error { return l.MarkDraining(holder, now) })
}

// Release implements [activities.Ledger].
func (w *Writer) Release(ctx context.Context, holder, cause string) error {
	return w.do(ctx, func(l *scale.Ledger, now time.Time) error { return l.Release(holder, cause, now) })
}

// SetInventory takes a provider's whole inventory: a node that is not in it is lost.
func (w *Writer) SetInventory(ctx context.Context, inv activities.Inventory) error {
	return w.do(ctx, func(l *scale.Ledger, now time.Time) error {
		l.SetInventory(inv.Nodes, inv.Devices, now)
		return nil
	})
}

// SetDevices takes the inventory of one node, which is thereby in reach.
func (w *Writer) SetDevices(ctx context.Context, node string, devices []scale.Device) error {
	return w.do(ctx, func(l *scale.Ledger, now time.Time) error {
		l.SetDevices(node, devices, now)
		return nil
	})
}

// NodeLost makes the leases of a node unknown.
func (w *Writer) NodeLost(ctx context.Context, node string) error {
	return w.do(ctx, func(l *scale.Ledger, now time.Time) error {
		l.NodeLost(node, now)
		return nil
	})
}

// NodeFound makes them what they were.
func (w *Writer) NodeFound(ctx context.Context, node string) error {
	return w.do(ctx, func(l *scale.Ledger, now time.Time) error {
		l.NodeFound(node, now)
		return nil
	})
}

// Fence ends the unknown leases of a lost node, on an operator's word that nothing runs there
// any more, and returns them as they were.
func (w *Writer) Fence(ctx context.Context, node string) ([]scale.Lease, error) {
	var ended []scale.Lease
	err := w.do(ctx, func(l *scale.Ledger, now time.Time) error {
		ended = l.Fence(node, now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

// Refresh makes the snapshot what the store has now.
func (w *Writer) Refresh(ctx context.Context) error {
	return w.do(ctx, func(*scale.Ledger, time.Time) error { return nil })
}

// Drift is where ledger and provider disagree. The lists are sorted by holder.
type Drift struct {
	// Unleased replicas run, and their lease has ended or never was: they are to be stopped.
	Unleased []string
	// Missing holders have a lease that is bound or draining, and nothing of them runs: their
	// leases are to be released.
	Missing []string
	// Expired reservations have ended just now: nothing of them runs.
	Expired []scale.Lease
}

// Adopt takes all that a provider says, after a restart and every few seconds. What runs gets
// its lease bound as of its start, even if the reservation has run out by now because nobody
// was there to bind it; then the other reservations that ran out are ended. This is the only
// place where they are: a reservation must not run out under a replica that runs.
func (w *Writer) Adopt(ctx context.Context, all []activities.ReplicaStatus) (Drift, error) {
	var drift Drift
	err := w.do(ctx, func(l *scale.Ledger, now time.Time) error {
		drift = Drift{}
		there := map[string]bool{}
		for _, s := range all {
			if s.State == activities.RunGone {
				continue
			}
			there[s.ID] = true
			if l.Bind(s.ID, s.Epoch, earlier(s.Started, now)) != nil {
				drift.Unleased = append(drift.Unleased, s.ID)
			}
		}
		drift.Missing = missing(*l, there)
		drift.Expired = l.Expire(now)
		return nil
	})
	if err != nil {
		return Drift{}, err
	}
	slices.Sort(drift.Unleased)
	return drift, nil
}

// missing lists who should run and does not. A lease whose node is out of reach is neither.
func missing(l scale.Ledger, there map[string]bool) []string {
	var out []string
	for _, x := range l.Leases {
		if (x.State == scale.Bound || x.State == scale.Drain) && !there[x.Holder] {
			out = append(out, x.Holder)
		}
	}
	return out
}

// earlier is the start of a replica, and now for one whose provider does not know it.
func earlier(started, now time.Time) time.Time {
	if started.IsZero() || started.After(now) {
		return now
	}
	return started
}
