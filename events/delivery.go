package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Delivery is a request in an agent's hands. Exactly one of Ack, AckNoWait and GiveBack
// ends it; until then [Delivery.Working] keeps it.
type Delivery struct {
	Request Request
	// Malformed is set where the event could not be read: it ends in a record with cause
	// [CauseBadRequest].
	Malformed error
	// Delivered counts deliveries from 1, given back or lost ones too. It numbers the
	// attempts of a chunked answer; failures are counted by [Bus.CountFailure].
	Delivered int
	// Pending is how many requests of the class wait behind it.
	Pending uint64

	msg *nats.Msg
}

func deliveryOf(m *nats.Msg) (*Delivery, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("%w: pulled %s, reply %q: %w", ErrSubject, m.Subject, m.Reply, err)
	}
	d := &Delivery{Delivered: int(meta.NumDelivered), Pending: meta.NumPending, msg: m}
	d.Request, d.Malformed = NewRequest(m.Subject, m.Header, m.Data, meta.Stream, meta.Sequence.Stream, meta.Timestamp)
	if d.Malformed != nil && !errors.Is(d.Malformed, ErrMalformed) {
		return nil, d.Malformed
	}
	return d, nil
}

// Ack takes the request out of the queue and waits until the broker has done so. Its
// terminal record is written before.
func (d *Delivery) Ack(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return d.failed("ack", d.msg.AckSync(nats.Context(ctx)))
}

// AckNoWait is Ack without the wait. What is sent after it over the same bus gets to the broker
// after it. If it is lost, with the connection or the broker, the request is delivered again
// and its record found.
func (d *Delivery) AckNoWait() error { return d.failed("ack", d.msg.Ack()) }

// GiveBack returns the request to the queue, at once or after a delay.
func (d *Delivery) GiveBack(delay time.Duration) error {
	if delay <= 0 {
		return d.failed("give back", d.msg.Nak())
	}
	return d.failed("give back", d.msg.NakWithDelay(delay))
}

// Working tells the broker that the request is being worked on. Call it each third of [AckWait].
func (d *Delivery) Working() error {
	return d.failed("extend", d.msg.InProgress())
}

func (d *Delivery) failed(what string, err error) error {
	if err == nil {
		return nil // before any text is put together
	}
	return wrap(what+" "+d.Request.RecordID(), err)
}
