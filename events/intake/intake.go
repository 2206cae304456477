// Package intake is how an agent takes requests off its function's queues: it asks for so
// many of a class, and gets deliveries, each to be acknowledged, given back, or tried again.
//
// It speaks the broker's pull protocol on one subscription that lives as long as the agent,
// where the client library's own fetch makes a subscription and a goroutine for each pull
// and drops what arrives while a fetch is being given up. An agent needs the permission to
// publish $JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer> and $JS.ACK.<stream>.<consumer>.>
// for its three consumers, and to subscribe below its own inbox; nothing else here.
package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Receiver is told what comes of asks, one call at a time.
type Receiver interface {
	// Delivered hands over a request; whoever gets it must end it.
	Delivered(Delivery)
	// Ended says that the broker has nothing (more) for the ask.
	Ended(id uint64)
	// Refused says that the broker could not serve the ask, and why.
	Refused(id uint64, why string)
}

// Intake is the open pull side of one function's three queues. It is safe for concurrent use.
type Intake struct {
	nc     *nats.Conn
	to     Receiver
	log    *slog.Logger
	sub    *nats.Subscription
	inbox  string   // answers to ask n arrive on inbox + n
	next   []string // API subject per class
	closed chan struct{}
}

// Open subscribes to the answers. The consumers need not exist yet.
func Open(b *events.Bus, c events.AgentConfig, to Receiver, log *slog.Logger) (*Intake, error) {
	q := &Intake{nc: b.Conn(), to: to, log: log, inbox: events.AgentInbox(c.Replica) + ".pull.", closed: make(chan struct{})}
	for _, class := range functions.Classes() {
		q.next = append(q.next, jetstream.DefaultAPIPrefix+"CONSUMER.MSG.NEXT."+c.Stream+"."+events.Consumer(c.Key, class))
	}
	sub, err := q.nc.Subscribe(q.inbox+"*", q.receive)
	if err != nil {
		return nil, fmt.Errorf("subscribe %s*: %w", q.inbox, err)
	}
	sub.SetClosedHandler(func(string) { close(q.closed) })
	q.sub = sub
	return q, nil
}

// pullRequest is the body of a CONSUMER.MSG.NEXT request.
type pullRequest struct {
	Batch   int           `json:"batch"`
	NoWait  bool          `json:"no_wait,omitempty"`
	Expires time.Duration `json:"expires,omitempty"`
}

// Ask asks for n requests of a class, an index into [functions.Classes]. With wait 0 the
// broker answers with what there is; otherwise it waits that long for the first ones. An
// ask made while the connection is down fails: kept until later it would be one too many.
func (q *Intake) Ask(class, n int, wait time.Duration, id uint64) error {
	if !q.nc.IsConnected() {
		return events.ErrNotConnected
	}
	body, err := json.Marshal(pullRequest{Batch: n, NoWait: wait == 0, Expires: wait})
	if err != nil {
		return err
	}
	return q.nc.PublishRequest(q.next[class], q.inbox+strconv.FormatUint(id, 10), body)
}

// Statuses the broker ends an ask with.
const (
	statusNoMessages = "404"
	statusTimeout    = "408" // also: others ask for all there is
)

// receive tells deliveries from statuses: only a status arrives under the inbox's own subject.
func (q *Intake) receive(m *nats.Msg) {
	number, isStatus := strings.CutPrefix(m.Subject, q.inbox)
	if !isStatus {
		q.deliver(m)
		return
	}
	id, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	switch status := m.Header.Get("Status"); status {
	case statusNoMessages, statusTimeout:
		q.to.Ended(id)
	default:
		q.to.Refused(id, strings.TrimSpace(status+" "+m.Header.Get("Description")))
	}
}

func (q *Intake) deliver(m *nats.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		q.log.Error("a message that no consumer sent", "subject", m.Subject, "err", err)
		return
	}
	_, class, err := events.ParseRequest(m.Subject)
	if err != nil {
		q.log.Error("a request on a subject that is none", "subject", m.Subject, "err", err)
		return
	}
	q.to.Delivered(Delivery{Msg: m, Class: class, Pending: meta.NumPending, Times: meta.NumDelivered})
}

// Close ends the subscription once everything that arrived was handed over, or ctx ends.
func (q *Intake) Close(ctx context.Context) error {
	if err := q.sub.Drain(); err != nil {
		return fmt.Errorf("close intake: %w", err)
	}
	select {
	case <-q.closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Delivery is one request on loan from the broker, for [events.AckWait] at a time.
type Delivery struct {
	*events.Msg
	Class   functions.Class
	Pending uint64 // how many more of the class wait
	Times   uint64 // how often it was delivered, this time included
}

// Done acknowledges for good: it returns once the broker has said that it knows.
func (d Delivery) Done(ctx context.Context) error {
	err := d.AckSync(nats.Context(ctx))
	if errors.Is(err, nats.ErrMsgAlreadyAckd) {
		return nil
	}
	return err
}

// GiveBack returns a request nobody worked on; it is delivered again at once.
func (d Delivery) GiveBack() error { return d.Nak() }

// Retry returns a request that failed; it is delivered again after delay.
func (d Delivery) Retry(delay time.Duration) error { return d.NakWithDelay(delay) }
