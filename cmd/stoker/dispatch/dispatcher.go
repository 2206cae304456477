package dispatch

import (
	"context"
	"fmt"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/mailbox"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

var (
	_ api.Jobs            = (*Dispatcher)(nil)
	_ activities.Newsroom = (*Dispatcher)(nil)
)

// Dispatcher carries the training jobs of one platform.
type Dispatcher struct {
	Options
	box     *mailbox.Box // to the loop
	jobs    map[functions.Key]*entry
	planner planner
	loans   loans
	faults  job.Faults // of GPUs; those before the platform's start are not known
	telling int        // Updates in flight
	starts  int        // of workflows in flight
	soon    bool       // a plan is about to be made
	// nextPlan is closed, and another one made, with every plan.
	nextPlan chan struct{}
	ready    chan struct{}
	frozen   bool
	began    time.Time // of Run
}

// New makes a dispatcher; Run starts it.
func New(o Options) *Dispatcher {
	d := &Dispatcher{
		Options: o, box: mailbox.New(inboxSize, api.ErrStopping), jobs: map[functions.Key]*entry{},
		ready: make(chan struct{}), nextPlan: make(chan struct{}),
		planner: planner{kept: kept{key: learnedKey}}, loans: loans{kept: kept{key: loansKey}},
	}
	d.loans.stored = d.begunLoans
	d.planner.kept.forget = d.planner.learned.forget
	return d
}

// Ready is closed once everything submitted and running is known again.
func (d *Dispatcher) Ready() <-chan struct{} { return d.ready }

// Run restores what was submitted and adopts what runs, then serves until ctx ends. It returns once
// nothing it began is under way; gangs train on.
func (d *Dispatcher) Run(ctx context.Context) error {
	inner, end := d.box.Begin(ctx)
	defer end()
	d.began = d.Now()
	statuses, err := d.Provider.Watch(inner)
	if err != nil {
		return fmt.Errorf("watch the %s provider: %w", d.Provider.Name(), err)
	}
	if err := d.restore(inner); err != nil {
		return err
	}
	beats, err := d.Bus.OnHeartbeat(func(k functions.Key, h events.Heartbeat) {
		if h.Rank != nil {
			d.box.Offer(func() { d.beat(k, h) })
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = beats.Unsubscribe() }()
	close(d.ready)
	d.loop(inner, statuses)
	return nil
}

func (d *Dispatcher) loop(ctx context.Context, statuses <-chan activities.ReplicaStatus) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	missing := time.NewTicker(missingEvery)
	defer missing.Stop()
	d.tick()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-d.box.In():
			f()
		case s, ok := <-statuses:
			if !ok {
				statuses = nil
				continue
			}
			d.observe(s)
		case <-tick.C:
			d.tick()
		case <-missing.C:
			d.checkMissing()
		}
	}
}

// tick looks at what no news tells: Updates and starts to be repeated, GPUs that came and went, loans that end.
func (d *Dispatcher) tick() {
	now := d.Now()
	for _, e := range d.jobs {
		for n, r := range e.ranks {
			e.conclude(n, r, now)
		}
		d.overspent(e, now)
		d.judge(e, now)
	}
	d.settle()
	d.saveAgain(&d.loans.kept, &d.loans.Book)
	d.saveAgain(&d.planner.kept, &d.planner.learned)
	d.plan()
}

// Drain ends planning and has every gang save its work and go, as for a machine that people empty: the
// jobs wait at the head of their queue for the next start. It returns once all were told.
func (d *Dispatcher) Drain(ctx context.Context) {
	err := d.box.Call(ctx, func() {
		d.frozen = true
		for _, e := range d.jobs {
			if e.Life.Gang != nil && e.Life.Phase != job.Draining {
				e.goAway()
				d.tell(e)
			}
		}
	})
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("training jobs not told to go", "error", err)
	}
}

// planSoon makes a plan once what comes together has come.
func (d *Dispatcher) planSoon() {
	if d.soon {
		return
	}
	d.soon = true
	d.box.Outside(func(ctx context.Context) {
		select {
		case <-time.After(planDelay):
		case <-ctx.Done():
			return
		}
		d.box.Post(func() {
			d.soon = false
			d.plan()
		})
	})
}

// Look has jobs planned anew: something outside has changed, such as what functions go short of.
func (d *Dispatcher) Look() { d.box.Offer(d.planSoon) }
