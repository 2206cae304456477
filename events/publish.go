package events

import (
	"cmp"
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"stoker.dev/stoker/functions"
)

// PubAck says that a request is stored: from here on it ends in a terminal record.
type PubAck struct {
	ID        string // of the terminal record
	Stream    string
	Seq       uint64
	Duplicate bool // the same event was published before, within [DuplicateWindow]
}

// Publish stores a request. An event without id gets one; one without source or type gets
// the defaults of a bare payload. Errors are [ErrQueueFull], [ErrNoRoom], [ErrNotDeployed], [ErrTooLarge],
// [ErrNotConnected], a [*MalformedError], or the context's: then it may be stored or not,
// and publishing the same event again is safe.
//
// A duplicate is one only if it is the same request: what the broker takes for one because
// somebody else sent its Nats-Msg-Id is stored all the same.
func (b *Bus) Publish(ctx context.Context, e Event, k functions.Key, c functions.Class) (PubAck, error) {
	if e.ID == "" {
		e.ID = nuid.Next()
		return b.PublishFresh(ctx, e, k, c)
	}
	if err := e.checkID(); err != nil {
		return PubAck{}, err
	}
	e.Source = cmp.Or(e.Source, SourceBare)
	ack, err := b.publish(ctx, e, k, c, jetstream.WithMsgID(MsgID(k, e.Source, e.ID, e.Redrive)))
	if err != nil || !ack.Duplicate {
		return ack, err
	}
	instead, err := b.takenInstead(ctx, Request{Event: e, Key: k, Class: c, Stream: ack.Stream, Seq: ack.Seq})
	if err != nil {
		return PubAck{}, err
	}
	if instead {
		return b.publish(ctx, e, k, c)
	}
	return ack, nil
}

// PublishFresh is [Bus.Publish] of an event whose id was made for this call, so that nobody can
// have sent it before: the broker neither looks for it nor remembers it.
func (b *Bus) PublishFresh(ctx context.Context, e Event, k functions.Key, c functions.Class) (PubAck, error) {
	return b.publish(ctx, e, k, c)
}

func (b *Bus) publish(ctx context.Context, e Event, k functions.Key, c functions.Class, o ...jetstream.PublishOpt) (PubAck, error) {
	e = e.complete(e.ID, e.Time)
	h, err := e.Encode()
	if err != nil {
		return PubAck{}, err
	}
	m := &nats.Msg{Subject: RequestSubject(k, c), Header: h, Data: e.Data}
	ack, err := b.js.PublishMsg(ctx, m, o...)
	if err != nil {
		return PubAck{}, publishError(k, c, err)
	}
	return PubAck{ID: RecordID(e.ID, e.Redrive), Stream: ack.Stream, Seq: ack.Sequence, Duplicate: ack.Duplicate}, nil
}

// publishError turns the broker's refusals into this package's.
func publishError(k functions.Key, c functions.Class, err error) error {
	switch {
	case fullSubject(err):
		return fmt.Errorf("%w: %s has %d requests of class %s; try again later, or use another class", ErrQueueFull, k, QueueCeiling, c)
	case fullStream(err):
		return fmt.Errorf("%w: %s: %w; try again once the platform's disk has room", ErrNoRoom, k, err)
	case noStream(err):
		return fmt.Errorf("%w: %s; see: stoker get", ErrNotDeployed, k)
	default:
		return wrap(fmt.Sprintf("publish to %s", RequestSubject(k, c)), err)
	}
}
