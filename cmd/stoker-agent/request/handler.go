// Package request takes one delivered request to its end: put to the model server, and
// then one of
//
//	terminal record → acknowledgement → reply            it ended
//	given back with a delay                              the attempt failed, others are left
//	dead letter → terminal record → … → reply            the last attempt failed
//	given back at once                                   the replica is going, nobody is at fault
//
// in exactly this order, so that a kill at any point leaves either a request that is
// delivered again or a record that is found then. The broker's word is waited for where the
// next step may not be without this one: after the record and after the dead letter. The
// acknowledgement and the reply go out one behind the other on one connection.
package request

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/meter"
	"stoker.dev/stoker/cmd/stoker-agent/proxy"
	"stoker.dev/stoker/events"
)

// Why a try of the model server was given up; the cause of its context.
var (
	errCancelled = errors.New("the caller went away")
	errDeadline  = errors.New("the deadline passed")
	// ErrCutOff is the cause of a context that ends because the replica's grace is over.
	ErrCutOff = errors.New("the replica had to go before the request was done")
)

// keepAlive is how often the broker is told that a request is being worked on.
const keepAlive = events.AckWait / 3

// recentCancels is how many cancellations are remembered for requests that are still in
// the queue: a caller that gives up usually does so while it waits.
const recentCancels = 1024

// Options are what a handler works with.
type Options struct {
	Bus    *events.Bus
	Proxy  *proxy.Proxy
	Meter  *meter.Meter
	Config events.AgentConfig
	// Gone is closed when the model server's process ended.
	Gone <-chan struct{}
	// Look looks at once whether it did.
	Look func() bool
	// Leaving tells that the model server is being taken away: what breaks then is nobody's failure.
	Leaving func() bool
	// Cause is why it did, once Gone is closed.
	Cause func() string
	// OnGone is called before a request of a dead server is given back; it stops the
	// pulling, so that the request goes elsewhere. It may be called often.
	OnGone func()
	Log    *slog.Logger
}

// Handler handles the requests of one replica. It is safe for concurrent use.
type Handler struct {
	Options

	mu        sync.Mutex
	jobs      map[uint64]*job // by sequence number: a function has one stream
	cancelled []string        // record ids, newest last, at most recentCancels
}

// New returns a handler. [Handler.KeepAlive] must run beside it.
func New(o Options) *Handler { return &Handler{Options: o, jobs: map[uint64]*job{}} }

// Handle takes a request to its end. ctx bounds the model server's work; when it ends, with
// cause [ErrCutOff], the request is given back. life bounds what must be written after
// that; a request that ends with it is delivered again by the broker.
func (h *Handler) Handle(ctx, life context.Context, d *events.Delivery) {
	began := time.Now()
	h.Meter.Begin(began)
	if h.late(d, began) {
		h.Meter.Late()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j := &job{h: h, d: d, req: d.Request, life: life, began: began, cancel: cancel}
	outcome := meter.Other
	if h.enter(j) {
		outcome = j.run(ctx)
		h.leave(j)
	}
	h.Meter.End(outcome, j.service, time.Now())
}

// late tells whether a request waited longer than the objective's limit. A second delivery
// is none: what it waited for was an attempt. The broker's clock says when it was stored.
func (h *Handler) late(d *events.Delivery, began time.Time) bool {
	_, limit := h.Config.Spec.Scaling.WaitSLO.Target()
	stored := d.Request.Stored
	return d.Delivered <= 1 && !stored.IsZero() && limit > 0 && began.Sub(stored) > limit
}

// enter lists a job as in flight. It refuses a request that is in flight here already: the
// broker was away for longer than its ack wait, and the job that runs answers for both.
func (h *Handler) enter(j *job) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs[j.req.Seq] != nil {
		return false
	}
	h.jobs[j.req.Seq] = j
	if len(h.cancelled) > 0 && slices.Contains(h.cancelled, j.req.RecordID()) {
		j.cancel(errCancelled)
	}
	return true
}

func (h *Handler) leave(j *job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.jobs, j.req.Seq)
}

// KeepAlive tells the broker what is being worked on until ctx ends.
func (h *Handler) KeepAlive(ctx context.Context) {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.extend()
		case <-ctx.Done():
			return
		}
	}
}

func (h *Handler) extend() {
	h.mu.Lock()
	jobs := slices.Collect(maps.Values(h.jobs))
	h.mu.Unlock()
	for _, j := range jobs {
		if err := j.d.Working(); err != nil {
			h.Log.Debug("ack not extended", "err", err)
		}
	}
}

// Cancel stops the work on a request whose caller went away, now or when it arrives here.
func (h *Handler) Cancel(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.cancelled) == recentCancels {
		h.cancelled = h.cancelled[1:]
	}
	h.cancelled = append(h.cancelled, id)
	for _, j := range h.jobs {
		if j.req.RecordID() == id {
			j.cancel(errCancelled)
		}
	}
}

// crashWait is how long a broken connection waits for the news that the server died: the
// kernel closes a dead process's sockets before it tells its parent.
const crashWait = 200 * time.Millisecond

// crashed tells whether the model server is dead.
func (h *Handler) crashed() bool {
	if h.Look() {
		return true
	}
	select {
	case <-h.Gone:
		return true
	case <-time.After(crashWait):
		return false
	}
}
