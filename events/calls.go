package events

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// maxBuffered bounds the messages of one answer that wait for their caller. A model makes
// some hundred chunks a second, so a caller that is this far behind has gone away.
const maxBuffered = 8192

// callMux hands the messages below one subscription to the calls they answer.
type callMux struct {
	token string // of this bus; unguessable, like every call's

	mu    sync.Mutex
	sub   *nats.Subscription
	calls map[string]*Call
}

// Call waits for one answer on a reply subject of its own. One goroutine reads it.
type Call struct {
	// Subject goes into [Event.ReplyTo].
	Subject string

	mux    *callMux
	token  string
	reader ChunkReader

	mu     sync.Mutex
	queue  []*Msg
	behind bool
	wake   chan struct{}
}

// NewCall makes a reply subject and listens on it. All calls of a bus share one
// subscription, "_R.<bus>.*". Close it when the answer is there or not wanted any more.
func (b *Bus) NewCall() (*Call, error) {
	mux := &b.calls
	c := &Call{mux: mux, token: nuid.Next(), wake: make(chan struct{}, 1)}
	c.Subject = mux.prefix() + c.token
	mux.mu.Lock()
	defer mux.mu.Unlock()
	if mux.sub == nil {
		sub, err := b.nc.Subscribe(mux.prefix()+"*", mux.deliver)
		if err != nil {
			return nil, wrap("subscribe to replies", err)
		}
		mux.sub, mux.calls = sub, map[string]*Call{}
	}
	mux.calls[c.token] = c
	return c, nil
}

func (x *callMux) prefix() string { return "_R." + x.token + "." }

func (x *callMux) deliver(m *nats.Msg) {
	x.mu.Lock()
	c := x.calls[strings.TrimPrefix(m.Subject, x.prefix())]
	x.mu.Unlock()
	if c != nil {
		c.add(m)
	}
}

func (c *Call) add(m *nats.Msg) {
	c.mu.Lock()
	if len(c.queue) < maxBuffered {
		c.queue = append(c.queue, m)
	} else {
		c.behind = true
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Next waits for the next chunk of the answer. After one with Final set there is no more.
func (c *Call) Next(ctx context.Context) (Chunk, error) {
	for {
		m, err := c.pop(ctx)
		if err != nil {
			return Chunk{}, err
		}
		chunk, ok, err := c.reader.Add(m)
		if err != nil || ok {
			return chunk, err
		}
	}
}

// Collect waits for the whole answer, see [Collect].
func (c *Call) Collect(ctx context.Context) (Record, error) { return Collect(ctx, c.Next) }

func (c *Call) pop(ctx context.Context) (*nats.Msg, error) {
	for {
		c.mu.Lock()
		if len(c.queue) > 0 {
			m := c.queue[0]
			c.queue = c.queue[1:]
			c.mu.Unlock()
			return m, nil
		}
		behind := c.behind
		c.mu.Unlock()
		if behind {
			return nil, fmt.Errorf("%w: the caller is %d messages behind", ErrGap, maxBuffered)
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close stops listening. Answers that come later are dropped; their record stays.
func (c *Call) Close() {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	delete(c.mux.calls, c.token)
}
