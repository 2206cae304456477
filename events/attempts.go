package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// AttemptRetention is how long failures of a request are remembered: far longer than the
// longest backoff times the most attempts a manifest may ask for.
const AttemptRetention = 24 * time.Hour

// attemptMarkerTTL is how long the broker keeps the marker of a forgotten count.
const attemptMarkerTTL = time.Minute

// casTries bounds how often a lost compare-and-swap is made again. Two agents count the
// same request only around a redelivery, so the second try nearly always wins.
const casTries = 10

// Attempts are the failures of one stored request. A delivery that is given back, or ends
// with its replica, is none.
type Attempts struct {
	Failures int       `json:"failures"`
	Cause    string    `json:"cause,omitempty"`   // of the last one
	Message  string    `json:"message,omitempty"` // of the last one
	At       time.Time `json:"at"`                // of the last one
	Replica  string    `json:"replica,omitempty"`

	rev uint64
}

// Attempts reads how often a request failed. One that never did has none.
func (b *Bus) Attempts(ctx context.Context, k functions.Key, stream string, seq uint64) (Attempts, error) {
	m, err := b.lastMsg(ctx, bucketStream(BucketAttempts), bucketSubject(BucketAttempts, AttemptKey(k, stream, seq)))
	if errors.Is(err, ErrNotFound) {
		return Attempts{}, nil
	}
	if err != nil {
		return Attempts{}, err
	}
	rev, err := sequence(m)
	if err != nil {
		return Attempts{}, err
	}
	a := Attempts{rev: rev}
	if m.Header.Get(headerKVOperation) != "" { // forgotten
		return a, nil
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return Attempts{}, fmt.Errorf("attempts of %s %d: %w", stream, seq, err)
	}
	return a, nil
}

// CountFailure adds a failure to a request and returns them all. The caller compares with
// the manifest's queue.attempts: below it gives the request back with a delay, at it makes
// a dead letter of it ([Bus.Bury]) and writes its record.
func (b *Bus) CountFailure(ctx context.Context, k functions.Key, stream string, seq uint64, last Attempts) (Attempts, error) {
	var err error
	for range casTries {
		var now Attempts
		now, err = b.Attempts(ctx, k, stream, seq)
		if err != nil {
			return Attempts{}, err
		}
		last.Failures, last.rev = now.Failures+1, now.rev
		last.rev, err = b.putAttempts(ctx, AttemptKey(k, stream, seq), last)
		if err == nil {
			return last, nil
		}
		if !lostRace(err) {
			return Attempts{}, wrap("count failure", err)
		}
	}
	return Attempts{}, fmt.Errorf("%w: failures of %s %d: %w", ErrConflict, stream, seq, err)
}

func (b *Bus) putAttempts(ctx context.Context, key string, a Attempts) (uint64, error) {
	data, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	m := &nats.Msg{Subject: bucketSubject(BucketAttempts, key), Data: data}
	ack, err := b.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(a.rev))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// ForgetAttempts drops the count of a request that has its terminal record. Only needed
// where it failed before; the bucket forgets by itself after [AttemptRetention].
func (b *Bus) ForgetAttempts(ctx context.Context, k functions.Key, stream string, seq uint64) error {
	m := &nats.Msg{
		Subject: bucketSubject(BucketAttempts, AttemptKey(k, stream, seq)),
		Header:  Header{headerKVOperation: {"PURGE"}, "Nats-Rollup": {"sub"}},
	}
	_, err := b.js.PublishMsg(ctx, m, jetstream.WithMsgTTL(attemptMarkerTTL))
	return wrap("forget attempts", err)
}

// How a key-value bucket is kept in a stream, as NATS's ADR-8 lays it down. Agents may touch
// the keys of their own function only, and the client library asks for the whole bucket first.
const headerKVOperation = "KV-Operation"

func bucketStream(bucket string) string       { return "KV_" + bucket }
func bucketSubject(bucket, key string) string { return "$KV." + bucket + "." + key }
