package events

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// Bounds of what waits for callers that are slow to take it.
const (
	// maxBuffered bounds the messages of one answer. A model makes some hundred chunks a second,
	// so a caller that is this far behind has gone away.
	maxBuffered = 8192
	// maxBufferedBytes bounds the bytes of one answer: two messages of the largest size.
	maxBufferedBytes = 16 << 20
	// maxAllBuffered bounds the bytes of all answers of a bus: sixteen callers that are as far
	// behind as one may be. The next message for one that does not read makes it lose its answer.
	maxAllBuffered = 256 << 20
)

// callMux hands the messages below one subscription to the calls they answer.
type callMux struct {
	token string // of this bus; unguessable, like every call's

	mu    sync.Mutex
	sub   *nats.Subscription
	calls map[string]*Call

	buffered atomic.Int64 // bytes that wait for all callers
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
	bytes  int // of the queue
	behind bool
	closed bool
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
	switch {
	case c.closed || c.behind:
	case c.roomFor(len(m.Data)):
		c.queue = append(c.queue, m)
		c.count(len(m.Data))
	default:
		c.behind = true
		c.drop() // the answer is lost, so none of it is kept
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// roomFor tells whether n more bytes may wait; c.mu is held. One message always may: an answer in
// one piece is lost to a bound only where others do not read theirs.
func (c *Call) roomFor(n int) bool {
	if len(c.queue) == 0 {
		return c.mux.buffered.Load() < maxAllBuffered
	}
	return len(c.queue) < maxBuffered && c.bytes+n <= maxBufferedBytes && c.mux.buffered.Load()+int64(n) <= maxAllBuffered
}

// count adds bytes to what waits; c.mu is held.
func (c *Call) count(n int) {
	c.bytes += n
	c.mux.buffered.Add(int64(n))
}

// drop lets go of what waits; c.mu is held.
func (c *Call) drop() {
	c.count(-c.bytes)
	c.queue = nil
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
			c.queue[0] = nil
			c.queue = c.queue[1:]
			c.count(-len(m.Data))
			c.mu.Unlock()
			return m, nil
		}
		behind := c.behind
		c.mu.Unlock()
		if behind {
			return nil, fmt.Errorf("%w: the caller did not take them in time, and more than %d messages or %d MiB waited", ErrGap, maxBuffered, maxBufferedBytes>>20)
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
	delete(c.mux.calls, c.token)
	c.mux.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.drop()
}
