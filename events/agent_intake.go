package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/functions"
)

// IntakeReceiver is told what comes of asks, one call at a time.
type IntakeReceiver interface {
	// Delivered hands over a request; whoever gets it must end it.
	Delivered(*Delivery)
	// Ended says that the broker has nothing (more) for the ask.
	Ended(ask uint64)
	// Refused says that the broker could not serve the ask, and why.
	Refused(ask uint64, why string)
}

// Intake is the pull side of a function's three queues, for an agent: it asks for many
// requests at once, and gets them on one subscription that lives as long as the agent. The
// client library's own fetch makes a subscription and a goroutine for each pull, and drops
// what arrives while one is being given up. It is safe for concurrent use.
type Intake struct {
	b      *Bus
	to     IntakeReceiver
	sub    *nats.Subscription
	inbox  string   // answers to ask n arrive on inbox + n
	next   []string // where to ask, per class
	closed chan struct{}
}

// OpenIntake listens for the answers of the broker. The consumers need not exist yet.
func (b *Bus) OpenIntake(k functions.Key, replica, stream string, to IntakeReceiver) (*Intake, error) {
	in := &Intake{b: b, to: to, inbox: AgentInbox(replica) + ".pull.", closed: make(chan struct{})}
	for _, c := range functions.Classes() {
		in.next = append(in.next, NextSubject(stream, Consumer(k, c)))
	}
	sub, err := b.nc.Subscribe(in.inbox+"*", in.receive)
	if err != nil {
		return nil, wrap("subscribe to "+in.inbox+"*", err)
	}
	sub.SetClosedHandler(func(string) { close(in.closed) })
	in.sub = sub
	return in, nil
}

// Ask asks for n requests of a class, an index into [functions.Classes]. With wait 0 the
// broker answers with what there is; otherwise it waits that long for the first ones. An
// ask made while the connection is down fails: kept until later it would be one too many.
func (in *Intake) Ask(class, n int, wait time.Duration, ask uint64) error {
	if !in.b.nc.IsConnected() {
		return ErrNotConnected
	}
	body, err := json.Marshal(pull{Batch: n, NoWait: wait == 0, Expires: wait})
	if err != nil {
		return err
	}
	return wrap("pull", in.b.nc.PublishRequest(in.next[class], in.inbox+strconv.FormatUint(ask, 10), body))
}

// pull is the body of a pull request to the broker.
type pull struct {
	Batch   int           `json:"batch"`
	NoWait  bool          `json:"no_wait,omitempty"`
	Expires time.Duration `json:"expires,omitempty"` // nanoseconds
}

// receive tells requests from statuses: only a status arrives under the inbox's own subject.
func (in *Intake) receive(m *nats.Msg) {
	number, isStatus := strings.CutPrefix(m.Subject, in.inbox)
	if !isStatus {
		in.deliver(m)
		return
	}
	ask, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	switch status := m.Header.Get("Status"); status {
	case "404", "408": // nothing there; expired, or others wait for all there is
		in.to.Ended(ask)
	default:
		in.to.Refused(ask, strings.TrimSpace(status+" "+m.Header.Get("Description")))
	}
}

func (in *Intake) deliver(m *nats.Msg) {
	d, err := deliveryOf(m)
	if err != nil {
		in.b.log.Error("pulled what is no request", "subject", m.Subject, "err", err)
		return
	}
	in.to.Delivered(d)
}

// Stop ends every open ask: the broker drops those that nobody listens for, so that what is
// given back after this call goes elsewhere. What it sent before is still handed over.
func (in *Intake) Stop() error {
	if err := in.sub.Drain(); err != nil && !errors.Is(err, nats.ErrBadSubscription) {
		return wrap("stop intake", err)
	}
	return nil
}

// Close stops, and returns when everything that arrived was handed over.
func (in *Intake) Close(ctx context.Context) error {
	if err := in.Stop(); err != nil {
		return err
	}
	select {
	case <-in.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close intake: %w", ctx.Err())
	}
}
