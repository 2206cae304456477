package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// Peek reads the next stored request of a class at or after fromSeq, without a consumer:
// so a function at zero can have its expired requests answered. [ErrNoRequest] ends the
// queue. With a [*MalformedError] the request is there as far as it could be read.
//
// A peeked request may be with an agent at the same time; the create-only terminal record
// settles which of two answers counts.
func (b *Bus) Peek(ctx context.Context, shard int, k functions.Key, c functions.Class, fromSeq uint64) (Request, error) {
	subject := RequestSubject(k, c)
	s, err := b.js.Stream(ctx, ShardStream(shard))
	if noStream(err) {
		return Request{}, fmt.Errorf("%w: %s", ErrNoRequest, subject)
	}
	if err != nil {
		return Request{}, wrap("peek "+subject, err)
	}
	// Sequence 0 would mean "the message 0" to the broker.
	m, err := s.GetMsg(ctx, max(fromSeq, 1), jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Request{}, fmt.Errorf("%w: %s from sequence %d on", ErrNoRequest, subject, fromSeq)
	}
	if err != nil {
		return Request{}, wrap("peek "+subject, err)
	}
	return NewRequest(m.Subject, m.Header, m.Data, ShardStream(shard), m.Sequence, m.Time)
}

// Remove takes a request out of its shard after its terminal record was written. One that
// is gone already is no error.
func (b *Bus) Remove(ctx context.Context, shard int, seq uint64) error {
	s, err := b.js.Stream(ctx, ShardStream(shard))
	if noStream(err) {
		return nil
	}
	if err != nil {
		return wrap(fmt.Sprintf("remove %d from %s", seq, ShardStream(shard)), err)
	}
	return deleteMsg(ctx, s, seq)
}

// deleteMsg deletes a message that may be gone already, which the broker reports in words
// that differ by the reason: so it is asked for instead.
func deleteMsg(ctx context.Context, s jetstream.Stream, seq uint64) error {
	err := s.DeleteMsg(ctx, seq)
	if err == nil {
		return nil
	}
	if _, missing := s.GetMsg(ctx, seq); errors.Is(missing, jetstream.ErrMsgNotFound) {
		return nil
	}
	return wrap(fmt.Sprintf("delete message %d of %s", seq, s.CachedInfo().Config.Name), err)
}
