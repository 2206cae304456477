package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
	"stoker.dev/stoker/functions"
)

// Ways of a request.
const (
	viaPublish = "publish" // to the stream; its acknowledgement is all the publisher gets
	viaInvoke  = "invoke"  // plain NATS request
	viaHTTP    = "http"    // POST
	viaAsync   = "async"   // POST ?async=1
)

// Shares of the requests, in percent.
const (
	publishShare = 50
	invokeShare  = 25
	httpShare    = 20 // the rest is asynchronous
	hastyShare   = 5  // have a deadline that many will miss
)

const (
	// poisonEach is one of how many published requests that kills the model server that takes it.
	poisonEach = 300
	// hasty is their deadline, about what a cold start takes.
	hasty = time.Second
	// hotN functions get most of the requests; they move on by one each hotFor, so that those before come to rest and
	// are woken again later.
	hotN     = 6
	hotShare = 80
	hotFor   = 3 * time.Second
	// inFlightMost bounds the client's own patience: past it a tick is let go.
	inFlightMost = 512
)

// client is the load. Its requests follow from the seed.
type client struct {
	b        *book
	nc       *nats.Conn
	js       jetstream.JetStream
	http     *http.Client
	url      atomic.Pointer[string] // of the platform's HTTP port, which changes with each start
	deadline time.Duration          // of most requests
	pace     time.Duration          // between two requests

	dice    *rand.Rand // of the ticking goroutine alone
	flying  chan struct{}
	wg      sync.WaitGroup
	missed  int             // ticks let go
	life    context.Context //nolint:containedctx // 2026-11-27: of every request; ends early only where the test has failed
	die     context.CancelFunc
	stopped context.CancelFunc
}

// ask is one request.
type ask struct {
	id       string
	nonce    string
	function functions.Key
	class    functions.Class
	via      string
	deadline time.Time
	body     []byte
}

// payload is what the model server is told; it says the whole of it back.
type payload struct {
	Nonce string `json:"nonce"`
	Do    string `json:"do,omitempty"`
}

func newClient(b *book, o Options) *client {
	return &client{
		b: b, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
		deadline: o.Deadline, pace: o.Pace, dice: rand.New(rand.NewPCG(o.Seed, 2)), flying: make(chan struct{}, inFlightMost),
	}
}

func startClient(p *harness.Platform, b *book, o Options) (*client, error) {
	c := newClient(b, o)
	c.nc = p.NATS(nats.Name("chaos client"))
	var err error
	if c.js, err = jetstream.New(c.nc); err != nil {
		return nil, err
	}
	c.reach(p.Server.HTTP)
	c.life, c.die = context.WithCancel(context.Background())
	ctx, cancel := context.WithCancel(c.life)
	c.stopped = cancel
	c.wg.Go(func() { c.tick(ctx) })
	return c, nil
}

// reach tells where the platform's HTTP port is now.
func (c *client) reach(url string) { c.url.Store(&url) }

// stop sends nothing more and waits for every outcome.
func (c *client) stop() {
	c.stopped()
	c.wg.Wait()
}

// abort does not wait for outcomes.
func (c *client) abort() {
	c.die()
	c.wg.Wait()
}

func (c *client) tick(ctx context.Context) {
	tick := time.NewTicker(c.pace)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a := c.next(n, int(time.Since(began)/hotFor))
		select {
		case c.flying <- struct{}{}:
		default:
			c.missed++
			continue
		}
		c.wg.Go(func() {
			defer func() { <-c.flying }()
			c.send(a)
		})
	}
}

// next draws the n-th request.
func (c *client) next(n, shift int) ask {
	i := c.dice.IntN(functionsN)
	if c.dice.IntN(100) < hotShare {
		i = (shift + c.dice.IntN(hotN)) % functionsN
	}
	a := ask{
		id: fmt.Sprintf("q%06d", n), nonce: fmt.Sprintf("%016x", c.dice.Uint64()), function: harness.Key(name(i)),
		class: functions.Classes()[n%len(functions.Classes())], via: anyWay(c.dice.IntN(100)),
	}
	within := c.deadline
	if c.dice.IntN(100) < hastyShare {
		within = hasty
	}
	a.deadline = time.Now().Add(within).UTC()
	what := payload{Nonce: a.nonce}
	if c.dice.IntN(poisonEach) == 0 && a.via == viaPublish && i >= steadyN {
		what.Do = "crash"
	}
	a.body, _ = json.Marshal(what) // two strings: it cannot fail
	return a
}

func anyWay(percent int) string {
	switch {
	case percent < publishShare:
		return viaPublish
	case percent < publishShare+invokeShare:
		return viaInvoke
	case percent < publishShare+invokeShare+httpShare:
		return viaHTTP
	default:
		return viaAsync
	}
}

func (c *client) noteSent(a ask) {
	c.b.note(history.Record{
		Kind: history.Sent, ID: a.id, Function: a.function.Name, Class: string(a.class), Via: a.via, Deadline: a.deadline, Nonce: a.nonce,
	})
}
