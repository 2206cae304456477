// Package meter accounts for every second of a replica's life and counts what it did. It
// has no clock: each call says when it happened, in an order that never goes back.
//
// At each moment exactly one account runs, so the four add up to the replica's age:
//
//	cold      until the model server is ready
//	useful    at least one request in flight
//	idle      ready, nothing in flight
//	draining  on the way out, nothing in flight
package meter

import (
	"sync"
	"time"

	"stoker.dev/stoker/events"
)

// Outcome is how a request left a replica.
type Outcome int

// The outcomes a meter counts; the others are work of other replicas, or none.
const (
	Other   Outcome = iota // refused, cancelled, or cut off by a drain
	Served                 // ended with a result
	Failed                 // an attempt that failed
	Expired                // its deadline passed
)

// Meter is the account of one replica. It is safe for concurrent use.
type Meter struct {
	mu      sync.Mutex
	phase   events.Phase
	flying  int
	since   time.Time // when the running account was started
	totals  events.Totals
	receipt events.Receipt
}

// New starts the account of a replica whose agent started now.
func New(r events.Receipt, now time.Time) *Meter {
	r.Spawned = now
	return &Meter{phase: events.PhaseStarting, since: now, receipt: r}
}

// advance books the time up to now on the running account; m.mu is held.
func (m *Meter) advance(now time.Time) {
	passed := now.Sub(m.since).Seconds()
	if passed <= 0 {
		return
	}
	m.since = now
	switch {
	case m.flying > 0:
		m.totals.UsefulSec += passed
	case m.phase == events.PhaseStarting, m.phase == events.PhaseLoading:
		m.totals.ColdSec += passed
	case m.phase == events.PhaseReady:
		m.totals.IdleSec += passed
	default:
		m.totals.DrainingSec += passed
	}
}

// Phase says that the replica is in another phase from now on. Phases only go forward: one
// that was passed is ignored, and the answer says so.
func (m *Meter) Phase(p events.Phase, now time.Time) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rank(p) <= rank(m.phase) {
		return false
	}
	m.advance(now)
	m.phase = p
	switch p {
	case events.PhaseLoading:
		m.receipt.Loading = now
	case events.PhaseReady:
		m.receipt.Ready = now
	case events.PhaseStarting, events.PhaseDraining, events.PhaseExited: // no moments of a receipt
	}
	return true
}

func rank(p events.Phase) int {
	for i, known := range []events.Phase{events.PhaseStarting, events.PhaseLoading, events.PhaseReady, events.PhaseDraining} {
		if p == known {
			return i
		}
	}
	return 4 // exited
}

// Begin says that a request holds a slot.
func (m *Meter) Begin(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	m.flying++
	if m.receipt.FirstRequest.IsZero() {
		m.receipt.FirstRequest = now
	}
}

// Late says that a request was taken later than the wait SLO allows.
func (m *Meter) Late() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.Late++
}

// FirstByte says that the first byte of an answer came.
func (m *Meter) FirstByte(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.receipt.FirstByte.IsZero() {
		m.receipt.FirstByte = now
	}
}

// Tokens says how many tokens a try of the model server took and gave.
func (m *Meter) Tokens(in, out uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.TokensIn += in
	m.totals.TokensOut += out
}

// End says that a request gave its slot back after a try of the model server that took
// service (0: there was none).
func (m *Meter) End(o Outcome, service time.Duration, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	m.flying--
	m.totals.ServiceSec += service.Seconds()
	switch o {
	case Served:
		m.totals.Served++
	case Failed:
		m.totals.Failed++
	case Expired:
		m.totals.Expired++
	case Other: // its service time alone counts
	}
}

// Read fills in what the meter knows of a heartbeat.
func (m *Meter) Read(now time.Time, hb *events.Heartbeat) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	hb.Phase, hb.InFlight, hb.Totals, hb.Receipt = m.phase, m.flying, m.totals, m.receipt
}
