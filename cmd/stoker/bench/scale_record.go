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
	now bool // a replica runs once its start call returns; otherwise somebody tells

	mu      sync.Mutex
	asked   time.Time                   // by an order for all
	demands map[functions.Key]time.Time // by the first request of a function
	live    map[string]*served
	going   int             // replicas that are being stopped
	delays  []time.Duration // of the starts and stops of this step
	last    time.Time       // when the last of them was done
	hold    chan struct{}   // of new answerers; nil: they answer at once

	pods             []time.Duration // of the Pods created in this step
	lastPod, lastRun time.Time       // when the last of them was created, and ran
	unasked          int             // replicas that ended in this step without being stopped
}

// served is a replica that was started and not stopped.
type served struct {
	key     functions.Key
	answers *answerer // nil until it runs
}

func newRecord() *record {
	return &record{demands: map[functions.Key]time.Time{}, live: map[string]*served{}}
}

// reset begins a step.
func (r *record) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delays, r.last, r.asked = nil, time.Time{}, time.Time{}
	r.pods, r.lastPod, r.lastRun, r.unasked = nil, time.Time{}, time.Time{}, 0
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

// since is what asked for a change of a function; zero: nobody, it is what a step before left.
func (r *record) since(k functions.Key) time.Time {
	if at, ok := r.demands[k]; ok {
		return at
	}
	return r.asked
}

// changed notes one start or stop: when it was called for, and when it was done.
func (r *record) changed(k functions.Key, called, done time.Time) {
	since := r.since(k)
	if since.IsZero() {
		return
	}
	r.delays = append(r.delays, called.Sub(since))
	if done.After(r.last) {
		r.last = done
	}
}

// created notes that the API server has confirmed a Pod.
func (r *record) created(s activities.ReplicaSpec) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := r.since(s.Key); !since.IsZero() {
		r.pods, r.lastPod = append(r.pods, now.Sub(since)), now
	}
}

// runs notes that a replica runs, and lets it answer.
func (r *record) runs(ctx context.Context, s activities.ReplicaSpec) error {
	r.mu.Lock()
	r.lastRun = time.Now()
	r.mu.Unlock()
	return r.serve(ctx, s)
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
	if l := r.live[h.Replica]; l != nil && l.answers != nil {
		h.InFlight, h.Totals.Served = int(l.answers.inFlight.Load()), uint64(l.answers.served.Load())
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
	if len(r.pods) > 0 {
		s.Pods = &PodsReport{
			Count: len(r.pods), Created: quantiles(r.pods), AllCreatedMS: ms(r.lastPod.Sub(began)), AllRunningMS: ms(r.lastRun.Sub(began)), Unasked: r.unasked,
		}
	}
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
	p.r.started(s, called, time.Now())
	if !p.r.now {
		return nil
	}
	return p.r.serve(context.WithoutCancel(ctx), s)
}

// started notes a replica that was started; the second call of a start adds nothing.
func (r *record) started(s activities.ReplicaSpec, called, done time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[s.ID] == nil {
		r.live[s.ID] = &served{key: s.Key}
		r.changed(s.Key, called, done)
	}
}

// serve gives a replica that was not stopped yet its answerer.
func (r *record) serve(ctx context.Context, s activities.ReplicaSpec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.live[s.ID]
	if l == nil || l.answers != nil {
		return nil
	}
	a, err := answer(ctx, r.bus, s.Key, s.ID, s.Agent.Stream, r.hold)
	if err == nil {
		l.answers = a
	}
	return err
}

// quiet ends the answers of a replica that ended without being stopped.
func (r *record) quiet(id string) {
	r.mu.Lock()
	var a *answerer
	if l := r.live[id]; l != nil {
		a, l.answers = l.answers, nil
	}
	r.mu.Unlock()
	if a != nil {
		a.close()
	}
}

// ended notes that a replica is gone: one that nobody stopped is replaced by another, and does not count
// beside that.
func (r *record) ended(id string) {
	r.quiet(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[id] != nil {
		delete(r.live, id)
		r.unasked++
	}
}

// Stop ends the answerer, then the replica.
func (p *recorded) Stop(ctx context.Context, id string, grace time.Duration) error {
	called := time.Now()
	l := p.r.leave(id)
	if l == nil {
		return p.Provider.Stop(ctx, id, grace)
	}
	if l.answers != nil {
		l.answers.close()
	}
	err := p.Provider.Stop(ctx, id, grace)
	p.r.left(l.key, called, time.Now())
	return err
}

// leave takes a replica that is to stop from those that live; nil where that was done before.
func (r *record) leave(id string) *served {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.live[id]
	if l != nil {
		delete(r.live, id)
		r.going++
	}
	return l
}

// left notes that a replica is gone.
func (r *record) left(k functions.Key, called, done time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.going--
	r.changed(k, called, done)
}
