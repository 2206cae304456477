package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
)

// maxPublishing bounds the invokes that are being stored at one time. Storing one takes a
// fraction of a millisecond, so beyond it the broker is the one that is late.
const maxPublishing = 1024

// settleWithin bounds the wait for invokes that are being stored when Run ends, and for callers
// that are being sent away.
const settleWithin = events.CallTimeout

// Options of a gateway. Bus, Control and Keeper are required.
type Options struct {
	Bus     *events.Bus
	Control api.Control
	Jobs    api.Jobs
	Keeper  Keeper
	// Host tells whether a name in a request's Host is one of the platform's, beside those of
	// loopback; nil: none is. Secure says that callers come by TLS.
	Host   func(name string) bool
	Secure bool
	// UI serves everything below /temporal/; nil: nothing does.
	UI http.Handler
	// Ready tells whether the servers behind the platform take work; nil: they do.
	Ready func(context.Context) error
	// Refusal is why no new work is taken, such as a disk that is nearly full; nil, or one that
	// returns nil: it is. It is asked once per request and must not block.
	Refusal func() *api.Error
	// Collectors are shown on /metrics beside the gateway's own.
	Collectors []prometheus.Collector
	Log        *slog.Logger     // nil discards
	Now        func() time.Time // nil: the clock
}

// Gateway answers invokes and HTTP. It is safe for concurrent use.
type Gateway struct {
	Options
	door      door
	depths    depths
	names     names
	metrics   *metrics
	patience  patience
	logins    *logins
	following following
	invokes   chan struct{} // holds one token for each invoke being stored
	crew      *crew         // works on them
	waiters   chan struct{} // holds one token for each long poll for a record
	tracing   sync.Mutex    // held while a trace is made of the records

	listening chan struct{} // closed once Run listens
	// stopping ends with Run: whoever waits for an answer then is told where it will be.
	stopping context.Context //nolint:containedctx // of Run, which callers do not see
	dismiss  context.CancelFunc
}

// New makes a gateway. [Gateway.Run] answers invokes; [Gateway.Handler] works without it.
func New(o Options) *Gateway {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ready == nil {
		o.Ready = func(context.Context) error { return nil }
	}
	if o.Refusal == nil {
		o.Refusal = func() *api.Error { return nil }
	}
	if o.Host == nil {
		o.Host = func(string) bool { return false }
	}
	g := &Gateway{Options: o, logins: newLogins(o.Now), patience: standard, invokes: make(chan struct{}, maxPublishing), waiters: make(chan struct{}, maxWaiters), listening: make(chan struct{})}
	g.stopping, g.dismiss = context.WithCancel(context.Background())
	g.crew = newCrew(g.stopping.Done())
	g.depths.count = o.Bus.PendingOf
	g.metrics = newMetrics(o.Collectors)
	return g
}

// Listening is closed once invokes are answered: before, their senders hear that nobody is there.
func (g *Gateway) Listening() <-chan struct{} { return g.listening }

// Run answers invokes until ctx ends, then those that it has begun to store, and sends away the
// HTTP callers that still wait: their requests stay stored. It runs once.
func (g *Gateway) Run(ctx context.Context) error {
	settle, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	sub, err := g.Bus.OnInvoke(g.onInvoke(settle))
	if err != nil {
		return err
	}
	if err := g.Bus.Flush(ctx); err != nil && ctx.Err() == nil {
		return errors.Join(err, sub.Unsubscribe())
	}
	close(g.listening)
	<-ctx.Done()
	err = sub.Unsubscribe()
	if g.Bus.Conn().IsClosed() {
		err = nil // the subscription went with it
	}
	late := time.NewTimer(settleWithin)
	defer late.Stop()
	empty := g.door.close()
	g.dismiss()
	select {
	case <-empty:
	case <-late.C:
		return errors.Join(err, fmt.Errorf("%d caller(s) did not take their answer within %v", g.door.inside(), settleWithin))
	}
	for range maxPublishing {
		select {
		case g.invokes <- struct{}{}:
		case <-late.C:
			return errors.Join(err, fmt.Errorf("the broker did not take all invokes within %v; their callers run into their timeouts", settleWithin))
		}
	}
	return err
}

// Drain refuses new requests and waits for those in flight, or for ctx: what is left then
// stays stored, and its callers read the record later.
func (g *Gateway) Drain(ctx context.Context) error {
	empty := g.door.close()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d request(s) still wait for their answer; they stay stored, and their records can be read with: stoker result", g.door.inside())
	}
}
