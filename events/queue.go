package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/functions"
)

// Queue pulls one class of a function's requests. It needs no right but to pull from its
// own consumer and to acknowledge. Goroutines may share it.
type Queue struct {
	b        *Bus
	class    functions.Class
	stream   string
	consumer string
}

// Queue is where an agent pulls the requests of one class from.
func (b *Bus) Queue(k functions.Key, c functions.Class, stream string) *Queue {
	return &Queue{b: b, class: c, stream: stream, consumer: Consumer(k, c)}
}

// Class of the requests pulled.
func (q *Queue) Class() functions.Class { return q.class }

// pull is the body of a pull request to the broker.
type pull struct {
	Batch   int           `json:"batch"`
	NoWait  bool          `json:"no_wait,omitempty"`
	Expires time.Duration `json:"expires,omitempty"` // nanoseconds
}

// pullAnswerWithin bounds the wait for the answer to a pull that does not wait itself.
const pullAnswerWithin = 2 * time.Second

// TryNext pulls one request if there is one now. Errors: [ErrNoRequest]; [ErrNotDeployed]
// where the consumer is not there (yet). It answers within [pullAnswerWithin] whatever
// happens to ctx: a request that was on its way would be lost to everybody for [AckWait].
func (q *Queue) TryNext(ctx context.Context) (*Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pullAnswerWithin)
	defer cancel()
	body, err := json.Marshal(pull{Batch: 1, NoWait: true})
	if err != nil {
		return nil, err
	}
	m, err := q.b.nc.RequestWithContext(ctx, NextSubject(q.stream, q.consumer), body)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, q.missing()
	}
	if err != nil {
		return nil, wrap("pull from "+q.consumer, err)
	}
	return q.accept(m)
}

// accept reads what the broker answered to a pull.
func (q *Queue) accept(m *nats.Msg) (*Delivery, error) {
	status, description := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case status == "":
		return deliveryOf(m)
	case status == "404", status == "408":
		return nil, ErrNoRequest
	case status == "503", status == "409" && description == "Consumer Deleted":
		return nil, q.missing()
	case status == "409": // such as "Server Shutdown": pull again
		return nil, fmt.Errorf("%w: pull from %s: %s", ErrNoRequest, q.consumer, description)
	default:
		return nil, fmt.Errorf("pull from %s: broker says %s %s", q.consumer, status, description)
	}
}

func (q *Queue) missing() error {
	return fmt.Errorf("%w: consumer %s of %s does not exist", ErrNotDeployed, q.consumer, q.stream)
}

// Waiting is one open pull: the broker answers it with the next request, at any time until
// it expires.
type Waiting struct {
	q   *Queue
	sub *nats.Subscription
	ch  chan *nats.Msg

	mu       sync.Mutex
	closed   bool
	answered bool
}

// Wait opens a pull for one request that stays open for so long. Close it.
func (q *Queue) Wait(expires time.Duration) (*Waiting, error) {
	body, err := json.Marshal(pull{Batch: 1, Expires: expires})
	if err != nil {
		return nil, err
	}
	w := &Waiting{q: q, ch: make(chan *nats.Msg, 1)}
	inbox := q.b.nc.NewInbox()
	if w.sub, err = q.b.nc.Subscribe(inbox, w.deliver); err != nil {
		return nil, wrap("pull from "+q.consumer, err)
	}
	if err := q.b.nc.PublishRequest(NextSubject(q.stream, q.consumer), inbox, body); err != nil {
		return nil, errors.Join(wrap("pull from "+q.consumer, err), w.sub.Unsubscribe())
	}
	return w, nil
}

// deliver takes the pull's one answer, and gives back what nobody waits for any more.
func (w *Waiting) deliver(m *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.answered {
		w.refuse(m)
		return
	}
	w.answered = true
	w.ch <- m
}

func (w *Waiting) refuse(m *nats.Msg) {
	if m.Header.Get("Status") != "" {
		return
	}
	if err := m.Nak(); err != nil {
		w.q.b.log.Warn("could not give back a request", "consumer", w.q.consumer, "err", err)
	}
}

// Answered is readable once the pull has its answer, for a select over several pulls. Read
// that with [Waiting.Accept].
func (w *Waiting) Answered() <-chan *Msg { return w.ch }

// Accept reads the answer that [Waiting.Answered] gave. Errors: [ErrNoRequest] where the
// pull expired, [ErrNotDeployed] where the consumer is gone.
func (w *Waiting) Accept(m *Msg) (*Delivery, error) { return w.q.accept(m) }

// Next waits for the pull's answer, see [Waiting.Accept].
func (w *Waiting) Next(ctx context.Context) (*Delivery, error) {
	select {
	case m := <-w.ch:
		return w.Accept(m)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the pull. A request that is on its way meanwhile is given back at once, so
// that another replica gets it in milliseconds and not after [AckWait].
func (w *Waiting) Close() {
	w.mu.Lock()
	w.closed = true
	select {
	case m := <-w.ch:
		w.refuse(m)
	default:
	}
	end := w.sub.Drain // takes what the broker sent before it knew
	if w.answered {
		end = w.sub.Unsubscribe
	}
	w.mu.Unlock()
	if err := end(); err != nil && !errors.Is(err, nats.ErrBadSubscription) && !errors.Is(err, nats.ErrConnectionClosed) {
		w.q.b.log.Debug("end a pull", "consumer", w.q.consumer, "err", err)
	}
}
