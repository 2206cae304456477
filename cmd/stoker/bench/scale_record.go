package bench

import (
	"context"
	"sync"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// record is what happened to replicas: when each was started and stopped, and how long after
// what asked for it. It gives each an answerer for as long as it lives.
type record struct {
	bus *events.Bus

	mu      sync.Mutex
	asked   time.Time                   // by an order for all
	demands map[functions.Key]time.Time // by the first request of a function
	live    map[string]*answerer
	going   int             // replicas that are being stopped
	delays  []time.Duration // of the starts and stops of this step
	last    time.Time       // when the last of them was done
	hold    chan struct{}   // of new answerers; nil: they answer at once
}

func newRecord() *record {
	return &record{demands: map[functions.Key]time.Time{}, live: map[string]*answerer{}}
}

// reset begins a step.
func (r *record) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delays, r.last, r.asked = nil, time.Time{}, time.Time{}
	clear(r.demands)
}

// begin sets what all delays are measured from; demand does for one function.
func (r *record) begin(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = at
}

func (r *record) demand(k functions.Key, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.demands[k] = at
}

// changed notes one start or stop: when it was called for, and when it was done.
func (r *record) changed(k functions.Key, called, done time.Time) {
	since, ok := r.demands[k]
	if !ok {
		since = r.asked
	}
	if since.IsZero() {
		return // nobody asked: what a step before left
	}
	r.delays = append(r.delays, called.Sub(since))
	if done.After(r.last) {
		r.last = done
	}
}

// running counts replicas from their start until they are gone.
func (r *record) running() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.live) + r.going
}

// held keeps answers back until it is released.
type held struct {
	once sync.Once
	r    *record
	c    chan struct{}
}

func (r *record) holdAnswers() *held {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = make(chan struct{})
	return &held{r: r, c: r.hold}
}

func (h *held) release() {
	h.once.Do(func() {
		h.r.mu.Lock()
		defer h.r.mu.Unlock()
		h.r.hold = nil
		close(h.c)
	})
}

// fill adds to a simulated heartbeat what the replica's answerer does.
func (r *record) fill(h *events.Heartbeat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.live[h.Replica]; a != nil {
		h.InFlight, h.Totals.Served = int(a.inFlight.Load()), uint64(a.served.Load())
	}
}

// report is what a step took.
func (r *record) report(began time.Time, took time.Duration, before, after counters) StepReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := max(r.last.Sub(began), 0)
	s := StepReport{
		Changes: len(r.delays), Replicas: quantiles(r.delays), AllMS: ms(all), DoneMS: ms(took),
		Evaluations: after.evaluations - before.evaluations, Decisions: after.decisions - before.decisions, Syncs: after.syncs - before.syncs,
		LedgerWrites: after.ledgerWrites - before.ledgerWrites, LedgerConflicts: after.conflicts - before.conflicts,
		TemporalEvents: after.events - before.events,
	}
	s.DecisionsPerSec, s.EvaluationsPerSec = float64(s.Decisions)/took.Seconds(), float64(s.Evaluations)/took.Seconds()
	s.EventsPerChange = float64(s.TemporalEvents) / float64(max(s.Changes, 1))
	return s
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// recorded is a provider whose starts and stops are noted.
type recorded struct {
	activities.Provider
	r *record
}

// Start notes the time first of all.
func (p *recorded) Start(ctx context.Context, s activities.ReplicaSpec) error {
	called := time.Now()
	if err := p.Provider.Start(ctx, s); err != nil {
		return err
	}
	done := time.Now()
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if p.r.live[s.ID] != nil {
		return nil
	}
	a, err := answer(context.WithoutCancel(ctx), p.r.bus, s.Key, s.ID, s.Agent.Stream, p.r.hold)
	if err != nil {
		return err
	}
	p.r.live[s.ID] = a
	p.r.changed(s.Key, called, done)
	return nil
}

// Stop ends the answerer, then the replica.
func (p *recorded) Stop(ctx context.Context, id string, grace time.Duration) error {
	called := time.Now()
	a := p.r.leave(id)
	if a == nil {
		return p.Provider.Stop(ctx, id, grace)
	}
	a.close()
	err := p.Provider.Stop(ctx, id, grace)
	p.r.left(a.key, called, time.Now())
	return err
}

// leave takes the answerer of a replica that is to stop; nil where that was done before.
func (r *record) leave(id string) *answerer {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.live[id]
	if a != nil {
		delete(r.live, id)
		r.going++
	}
	return a
}

// left notes that a replica is gone.
func (r *record) left(k functions.Key, called, done time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.going--
	r.changed(k, called, done)
}
