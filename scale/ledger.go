package scale

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Constants of the ledger.
const (
	// TombstoneTTL is how long an ended lease is remembered to refuse a late start. It is
	// longer than any start can be under way: activities give up far sooner, and providers
	// remember what they stopped besides.
	TombstoneTTL = 15 * time.Minute
	// MaxTombstones bounds them, oldest dropped first, so that a crash loop cannot outgrow
	// the store: a ledger of 1,000 devices stays below NATS' default message size of 1 MiB.
	MaxTombstones = 1000
	// CauseExpired is the cause of a lease whose reservation ran out.
	CauseExpired = "reservation-expired"
	// CauseFenced is the cause of a lease whose node an operator declared dead.
	CauseFenced = "node-fenced"
)

// Ledger is who holds which GPU of a pool. It is a value: copies never share what a
// method changes, so the owner can try a batch on a copy and keep it or drop it.
//
// Devices are sorted by node and ID, Leases by holder, Lost by name. One writer applies
// changes in batches, calling Expire first in each; the store's compare-and-swap is the
// fence between writers. A method that returns an error has changed nothing, save that
// Bind buries a reservation it finds expired.
type Ledger struct {
	Devices []Device `json:"devices"`
	Leases  []Lease  `json:"leases"`         // live ones and tombstones; stored as in tombstone.go
	Lost    []string `json:"lost,omitempty"` // nodes that are out of reach
	Epoch   uint64   `json:"epoch"`          // of the newest lease

	edit *edit // set while a batch is applied
}

// edit is a batch of changes to one ledger, which owns its leases meanwhile.
type edit struct{ changed bool }

// Edit returns a copy for a batch of changes: its leases are copied once instead of once for each
// change. Nobody else may have the copy, nor copies of it, until it is sealed.
func (l Ledger) Edit() Ledger {
	const room = 64 // new leases before the slice grows
	l.Leases, l.edit = append(make([]Lease, 0, len(l.Leases)+room), l.Leases...), &edit{}
	return l
}

// Seal ends a batch and tells whether it changed any lease. From then on the ledger is a value
// like any other.
func (l *Ledger) Seal() bool {
	changed := l.edit != nil && l.edit.changed
	l.edit = nil
	return changed
}

// Reserve claims GPUs for a holder, all on one node, until ttl has passed. It is
// idempotent: a holder that has a lease gets that one, whatever its state.
//
// Errors: [NoCapacityError]; ErrTombstone for a holder whose lease has ended; ErrAsk for a
// holder without a name, a negative number, no ttl, or another number of GPUs than the
// lease its holder has.
func (l *Ledger) Reserve(ask Ask, ttl time.Duration, now time.Time) (Lease, error) {
	if err := ask.check(ttl); err != nil {
		return Lease{}, err
	}
	if i, found := l.find(ask.Holder); found {
		return l.reserved(l.Leases[i], ask, now)
	}
	node, devices, err := l.place(ask)
	if err != nil {
		return Lease{}, err
	}
	l.Epoch++
	lease := Lease{
		Holder:  ask.Holder,
		Owner:   ask.Owner,
		Node:    node,
		Devices: devices,
		State:   Reserved,
		Epoch:   l.Epoch,
		Since:   wall(now),
		Expires: wall(now.Add(ttl)),
	}
	l.put(lease)
	return lease.clone(), nil
}

// reserved answers a reservation whose holder is known already.
func (l *Ledger) reserved(have Lease, ask Ask, now time.Time) (Lease, error) {
	switch {
	case have.State == Released || have.expired(now):
		return Lease{}, fmt.Errorf("reserve for %s: %w (%s)", ask.Holder, ErrTombstone, have.endCause())
	case len(have.Devices) != ask.GPUs:
		return Lease{}, fmt.Errorf("reserve for %s: %w: %d GPUs asked for, its lease has %d; use another holder",
			ask.Holder, ErrAsk, ask.GPUs, len(have.Devices))
	}
	return have.clone(), nil
}

// Bind says that the holder's process was started. The epoch is that of the lease it was
// started with. Binding twice is a no-op; so is binding what drains by now.
//
// Errors: ErrUnknownHolder; ErrTombstone when the lease has ended, also by expiry right
// now; ErrEpoch when the holder has a newer lease. After any of them the caller makes sure
// that the process it started is gone.
func (l *Ledger) Bind(holder string, epoch uint64, now time.Time) error {
	i, found := l.find(holder)
	if !found {
		return fmt.Errorf("bind %s: %w", holder, ErrUnknownHolder)
	}
	lease := l.Leases[i].clone()
	switch {
	case lease.expired(now):
		l.bury(lease, CauseExpired, now)
		return fmt.Errorf("bind %s: %w (%s)", holder, ErrTombstone, CauseExpired)
	case lease.State == Released:
		return fmt.Errorf("bind %s: %w (%s)", holder, ErrTombstone, lease.Cause)
	case lease.Epoch != epoch:
		return fmt.Errorf("bind %s with epoch %d: %w: the ledger has %d", holder, epoch, ErrEpoch, lease.Epoch)
	}
	l.advance(lease, Bound, now)
	return nil
}

// MarkDraining says that the holder was asked to go. Its GPUs stay held until Release.
// It is a no-op for a lease that has ended. Error: ErrUnknownHolder.
func (l *Ledger) MarkDraining(holder string, now time.Time) error {
	i, found := l.find(holder)
	if !found {
		return fmt.Errorf("mark %s draining: %w", holder, ErrUnknownHolder)
	}
	if lease := l.Leases[i].clone(); lease.State != Released {
		l.advance(lease, Drain, now)
	}
	return nil
}

// advance moves a live lease to a later state; it never goes back. A lease on a node out
// of reach stays unknown and remembers where it would be.
func (l *Ledger) advance(lease Lease, to LeaseState, now time.Time) {
	at := &lease.State
	if lease.State == Unknown {
		at = &lease.Before
	}
	if rank(*at) >= rank(to) {
		return
	}
	*at = to
	lease.Expires = time.Time{}
	if lease.State != Unknown {
		lease.Since = wall(now)
	}
	l.put(lease)
}

// rank orders the states a live lease passes through.
func rank(s LeaseState) int {
	return slices.Index([]LeaseState{Reserved, Bound, Drain}, s)
}

// Release ends a lease, leaving a tombstone. It is called when the holder's whole process
// tree is gone, or never was. It is idempotent; for a holder that was never heard of it
// leaves a tombstone too, which refuses a start that is still on its way. Error: ErrAsk
// for a holder without a name.
func (l *Ledger) Release(holder, cause string, now time.Time) error {
	if err := checkHolder("release", holder); err != nil {
		return err
	}
	lease := Lease{Holder: holder}
	if i, found := l.find(holder); found {
		lease = l.Leases[i].clone()
	}
	if lease.State != Released {
		l.bury(lease, cause, now)
	}
	return nil
}

// Expire ends the reservations that ran out and returns them as they were, and forgets
// tombstones older than TombstoneTTL. The caller binds first what the provider says is
// running: the provider is the truth, and what runs must not lose its lease.
func (l *Ledger) Expire(now time.Time) []Lease {
	var ended []Lease
	for _, lease := range l.Leases {
		if lease.expired(now) {
			ended = append(ended, lease.clone())
		}
	}
	for _, lease := range ended {
		l.bury(lease.clone(), CauseExpired, now)
	}
	l.Forget(now)
	return ended
}

// Forget drops tombstones older than TombstoneTTL, and the oldest of more than
// MaxTombstones. Expire does it too; a writer calls it in each batch, so that the ledger
// stays small however many leases end between two calls of Expire.
func (l *Ledger) Forget(now time.Time) {
	var dead []time.Time
	for _, lease := range l.Leases {
		if lease.State == Released {
			dead = append(dead, lease.Since)
		}
	}
	limit := now.Add(-TombstoneTTL)
	if extra := len(dead) - MaxTombstones; extra > 0 {
		slices.SortFunc(dead, time.Time.Compare)
		limit = latest(limit, dead[extra-1])
	}
	old := func(x Lease) bool { return x.State == Released && !x.Since.After(limit) }
	if slices.ContainsFunc(l.Leases, old) {
		l.own(0)
		l.Leases = slices.DeleteFunc(l.Leases, old)
	}
}

// bury turns a lease into a tombstone and lets go of its devices.
func (l *Ledger) bury(lease Lease, cause string, now time.Time) {
	l.put(Lease{Holder: lease.Holder, State: Released, Epoch: lease.Epoch, Since: wall(now), Cause: cause})
	l.dropMissing()
}

// Lease returns the lease or tombstone of a holder.
func (l Ledger) Lease(holder string) (Lease, bool) {
	i, found := l.find(holder)
	if !found {
		return Lease{}, false
	}
	return l.Leases[i].clone(), true
}

func (l Ledger) find(holder string) (int, bool) {
	return sort.Find(len(l.Leases), func(i int) int { return strings.Compare(holder, l.Leases[i].Holder) })
}

// put writes a lease: in place within a batch, and otherwise into a fresh slice, so that copies of
// the ledger keep theirs.
func (l *Ledger) put(lease Lease) {
	l.own(1)
	i, found := l.find(lease.Holder)
	if found {
		l.Leases[i] = lease
		return
	}
	l.Leases = slices.Insert(l.Leases, i, lease)
}

// own makes the leases this ledger's alone, with room for some more, before they are changed.
func (l *Ledger) own(more int) {
	if l.edit != nil {
		l.edit.changed = true
		return
	}
	l.Leases = append(make([]Lease, 0, len(l.Leases)+more), l.Leases...)
}
