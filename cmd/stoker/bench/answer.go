package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// askFor is how long one pull of an answerer waits.
const askFor = 30 * time.Second

// The pauses of an agent that finds no queue yet, each twice the last.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 2 * time.Second
)

// answerer stands in for the agents of simulated replicas: it pulls the requests of one function
// and ends each with a record, in the agents' order, without a model behind it.
type answerer struct {
	bus    *events.Bus
	intake *events.Intake
	key    functions.Key
	ctx    context.Context //nolint:containedctx // 2026-11-23: the broker's callbacks have none of their own
	mu     sync.Mutex
	ask    uint64
	pause  time.Duration
	// hold keeps answers back until it is closed; nil: they go at once.
	hold             <-chan struct{}
	inFlight, served atomic.Int64
}

// answer starts one. A nil hold answers at once.
func answer(ctx context.Context, bus *events.Bus, k functions.Key, replica, stream string, hold <-chan struct{}) (*answerer, error) {
	a := &answerer{bus: bus, key: k, ctx: ctx, hold: hold}
	intake, err := bus.OpenIntake(k, replica, stream, a)
	if err != nil {
		return nil, err
	}
	a.intake = intake
	a.more()
	return a, nil
}

// standard is the class the benchmark publishes in, as an index into functions.Classes.
const standard = 1

func (a *answerer) more() {
	a.mu.Lock()
	a.ask++
	n := a.ask
	a.mu.Unlock()
	_ = a.intake.Ask(standard, 1, askFor, n)
}

// Delivered ends a request: record, acknowledgement, reply.
func (a *answerer) Delivered(d *events.Delivery) {
	a.mu.Lock()
	a.pause = 0
	a.mu.Unlock()
	a.inFlight.Add(1)
	go func() {
		if a.hold != nil {
			<-a.hold
		}
		a.end(d)
		a.inFlight.Add(-1)
		a.served.Add(1)
		a.more()
	}()
}

func (a *answerer) end(d *events.Delivery) {
	rec := d.Request.Record(events.StatusOK, "", "")
	rec.Attempt, rec.Ended = 1, time.Now()
	if _, err := a.bus.WriteRecord(a.ctx, rec, time.Hour); err != nil && !errors.Is(err, events.ErrRecordExists) {
		return // without its record it is delivered again
	}
	_ = d.Ack(a.ctx)
	if to := d.Request.Event.ReplyTo; to != "" {
		_ = a.bus.Reply(to, rec)
	}
}

// Ended asks again.
func (a *answerer) Ended(uint64) { a.more() }

// Refused comes when the consumer is deleted or not made yet: the next ask is a moment later.
func (a *answerer) Refused(uint64, string) {
	a.mu.Lock()
	a.pause = min(max(2*a.pause, firstPause), lastPause)
	pause := a.pause
	a.mu.Unlock()
	time.AfterFunc(pause, a.more)
}

func (a *answerer) close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), time.Second)
	defer cancel()
	_ = a.intake.Close(ctx)
}
