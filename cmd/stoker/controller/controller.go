package controller

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/mailbox"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// Periods of the controller. None is per function: their cost is bounded by shards and devices.
const (
	// reconcileEvery is how often each shard in use is counted: it catches what a lossy wake missed.
	reconcileEvery = 1500 * time.Millisecond
	// driftEvery is how often provider, ledger and workflows are compared.
	driftEvery = 10 * time.Second
	// silentAfter is how long a replica may say nothing before it counts as silent: five heartbeats.
	silentAfter = 5 * time.Second
	// inboxSize bounds what waits for the loop. Wakes and heartbeats beyond it are dropped, which
	// the reconcile and the next heartbeat mend; calls and outcomes wait.
	inboxSize = 4096
	// newsDelay is how long news that is no work, such as a replica that became ready, may take to
	// the workflow's logbook. It keeps them out of the way of wakes, and joins several to one.
	newsDelay = 500 * time.Millisecond
	// syncTimeout bounds one Update. A step settles within the patience of its activities.
	syncTimeout = 2 * time.Minute
	// syncBackoffMax bounds the pause after failed Updates: a wake that came while Temporal was
	// away waits for it, and a try that finds it away costs a refused call.
	syncBackoffMax = 4 * time.Second
)

// Controller runs the functions of one platform.
type Controller struct {
	Options
	box     *mailbox.Box // to the loop
	journal chan entry
	ctx     context.Context //nolint:containedctx // 2026-11-23: of Run: ends the work outside the loop
	fns     map[functions.Key]*function
	stock   scale.Stock  // of the newest ledger
	pooled  pooled       // what they learned together
	divided divided      // what each is due while GPUs are short
	short   atomic.Int64 // GPUs that functions go short of
	firsts  int          // syncs in flight that make a workflow for a function at rest
	soon    bool         // the inventory is about to be looked at
	admit   sync.Map     // functions.Key → api.Admission, for gateways
	shown   sync.Map     // functions.Key → shown, for collectors
	ready   chan struct{}
	frozen  atomic.Bool
	began   time.Time // of Run, by the wall clock as requests are stored
	metrics Metrics
	// uncounted is set while the shards cannot be counted.
	uncounted atomic.Bool
}

// New makes a controller; Run starts it.
func New(o Options) *Controller {
	if o.Wall == nil {
		o.Wall = o.Now
	}
	return &Controller{
		Options: o, box: mailbox.New(inboxSize, api.ErrStopping), fns: map[functions.Key]*function{},
		journal: make(chan entry, journalSize), ready: make(chan struct{}),
	}
}

// Ready is closed once everything deployed and running is known again.
func (c *Controller) Ready() <-chan struct{} { return c.ready }

// Metrics returns the counters.
func (c *Controller) Metrics() *Metrics { return &c.metrics }

// Run restores what is deployed and adopts what runs, then serves until ctx ends. It returns
// once nothing it began is under way; replicas keep running.
func (c *Controller) Run(ctx context.Context) error {
	inner, end := c.box.Begin(ctx)
	defer end()
	c.ctx, c.began = inner, c.Wall()
	c.box.Outside(c.keepJournal)
	statuses, err := c.Provider.Watch(inner)
	if err != nil {
		return fmt.Errorf("watch the %s provider: %w", c.Provider.Name(), err)
	}
	if err := c.restore(inner); err != nil {
		return err
	}
	beats, err := c.Bus.OnHeartbeat(func(k functions.Key, h events.Heartbeat) {
		c.offer(func() { c.beat(k, h) })
	})
	if err != nil {
		return err
	}
	defer func() { _ = beats.Unsubscribe() }()
	defer c.unsubscribeAll()
	close(c.ready)
	c.loop(inner, statuses)
	return nil
}

func (c *Controller) loop(ctx context.Context, statuses <-chan activities.ReplicaStatus) {
	reconcile, drift := time.NewTicker(reconcileEvery), time.NewTicker(driftEvery)
	defer reconcile.Stop()
	defer drift.Stop()
	changed := c.inventoryChanges()
	wakeup := time.NewTimer(time.Hour)
	defer wakeup.Stop()
	c.reconcile()
	for {
		wakeup.Reset(c.untilNext())
		select {
		case <-ctx.Done():
			return
		case f := <-c.box.In():
			f()
		case s, ok := <-statuses:
			if !ok {
				statuses = nil
				continue
			}
			c.observe(s)
		case <-wakeup.C:
			c.due()
		case <-reconcile.C:
			c.reconcile()
		case <-drift.C:
			c.checkDrift()
		case <-changed:
			c.checkDriftSoon()
		}
	}
}

// offer hands over what may be lost.
func (c *Controller) offer(f func()) {
	if !c.box.Offer(f) {
		c.metrics.Dropped.Add(1)
	}
}

// Freeze ends deciding: what is observed is still taken in, nothing more is begun.
func (c *Controller) Freeze() { c.frozen.Store(true) }

// untilNext is how long nothing has to be decided without new input.
func (c *Controller) untilNext() time.Duration {
	next := time.Hour
	if c.frozen.Load() {
		return next
	}
	now := c.Now()
	for _, f := range c.fns {
		if t := f.next(); !t.IsZero() {
			next = min(next, t.Sub(now))
		}
	}
	return max(next, 0)
}

// due decides again for the functions whose time has come.
func (c *Controller) due() {
	now := c.Now()
	for _, f := range c.fns {
		if t := f.next(); !t.IsZero() && !now.Before(t) {
			if !now.Before(f.retryAt) {
				f.retryAt = time.Time{}
			}
			c.evaluate(f)
		}
	}
}

// room is what the pool has to give. Only the loop may ask.
func (c *Controller) room() *scale.Stock { return c.stock.Of(c.Ledger.Newest()) }

// evaluate is the whole of deciding: observe, decide, and have it carried out if anything
// differs from what the workflow knows.
func (c *Controller) evaluate(f *function) {
	if c.frozen.Load() {
		return
	}
	c.metrics.Evaluations.Add(1)
	now := c.Now()
	stock := c.room()
	obs := c.observation(f, stock, now)
	before := f.stored.State.Epoch
	asked := scale.Question{Spec: f.spec, State: f.stored.State, Observation: obs, Now: now}
	var d scale.Decision
	f.stored.State, d = scale.Decide(f.spec, f.stored.State, obs, now)
	if c.Decided != nil {
		c.Decided(f.key, asked, d)
	}
	f.takeIn()
	c.noteShortage(f, d)
	f.nextAt = d.Next
	decided := f.stored.State.Epoch != before
	f.unsaved = f.unsaved || decided
	c.listen(f, d)
	c.publishAdmission(f)
	c.show(f)
	if f.wantsSync(now, f.free(stock)) && c.mayBegin(f) {
		c.sync(f)
	}
	if decided { // told after it was sent: starts go first
		c.metrics.Decisions.Add(1)
		c.announce(f, d)
	}
	c.watchBudget(f)
	c.finishDelete(f)
}
