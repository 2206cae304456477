package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How long GPU time is kept: a little longer than it is asked for.
const (
	CostRetention   = 91 * 24 * time.Hour
	MinuteRetention = 26 * time.Hour
)

// bucketConfigs are the buckets the platform lives on.
func bucketConfigs(o StreamOptions) []jetstream.KeyValueConfig {
	bucket := func(name, what string) jetstream.KeyValueConfig {
		return jetstream.KeyValueConfig{
			Bucket: name, Description: "stoker: " + what,
			// A few revisions back: enough to see by hand what a bad write replaced.
			History: 5, Storage: jetstream.FileStorage, Replicas: o.withDefaults().Replicas,
		}
	}
	attempts := bucket(BucketAttempts, "failed attempts of requests")
	attempts.History, attempts.TTL, attempts.LimitMarkerTTL = 1, AttemptRetention, attemptMarkerTTL
	spending := func(name, what string, kept time.Duration) jetstream.KeyValueConfig {
		c := bucket(name, what)
		c.History, c.TTL = 1, kept // what is too old goes by itself
		return c
	}
	return []jetstream.KeyValueConfig{
		bucket(BucketFunctions, "deployed functions"),
		bucket(BucketState, "scaling state of functions"),
		bucket(BucketLedger, "capacity ledgers of pools"),
		bucket(BucketJobs, "submitted training jobs"),
		bucket(BucketJobState, "state of training jobs"),
		bucket(BucketLearned, "what training jobs have taught"),
		attempts,
		spending(BucketCost, "GPU time by the hour", CostRetention),
		spending(BucketMinutes, "GPU time by the minute", MinuteRetention),
	}
}

// Entry is a value of a store with the revision it was read at.
type Entry[T any] struct {
	Key   string
	Value T
	Rev   uint64
}

// Change is what a watch reports: a value that was written, or a key that was deleted.
type Change[T any] struct {
	Entry[T]
	Deleted bool
	// Current is set on the empty change that follows the values a store held when the
	// watch began: from here on changes are new.
	Current bool
	// Err tells a value that could not be read; the watch goes on.
	Err error
}

// KV is a typed key-value bucket with compare-and-swap, as [Store] is. Revision 0 means "must not exist"; a
// lost race is [ErrConflict].
type KV[T any] interface {
	Get(ctx context.Context, key string) (T, uint64, error)
	Put(ctx context.Context, key string, v T, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string, revision uint64) error
	List(ctx context.Context) ([]Entry[T], error)
}

// Replace writes a value over whatever is there, for who is the one writer of a key: what it finds was
// written by itself, in a try whose answer was lost, or by one before it that was killed.
func Replace[T any](ctx context.Context, s interface {
	Get(ctx context.Context, key string) (T, uint64, error)
	Put(ctx context.Context, key string, v T, revision uint64) (uint64, error)
}, key string, v T, rev uint64) (uint64, error) {
	now, err := s.Put(ctx, key, v, rev)
	if !errors.Is(err, ErrConflict) {
		return now, err
	}
	_, rev, err = s.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		rev, err = 0, nil
	}
	if err != nil {
		return 0, err
	}
	return s.Put(ctx, key, v, rev)
}

// Store keeps JSON values in a bucket, written by compare-and-swap.
type Store[T any] struct {
	bucket string
	kv     jetstream.KeyValue
}

// OpenStore opens a bucket that [Bus.Ensure] made.
func OpenStore[T any](ctx context.Context, b *Bus, bucket string) (*Store[T], error) {
	kv, err := b.js.KeyValue(ctx, bucket)
	if err != nil {
		return nil, wrap("bucket "+bucket, err)
	}
	return &Store[T]{bucket: bucket, kv: kv}, nil
}

// Get reads a value and its revision. Errors: [ErrNotFound].
func (s *Store[T]) Get(ctx context.Context, key string) (T, uint64, error) {
	var v T
	e, err := s.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return v, 0, fmt.Errorf("%w: %s in %s", ErrNotFound, key, s.bucket)
	}
	if err != nil {
		return v, 0, wrap(fmt.Sprintf("read %s in %s", key, s.bucket), err)
	}
	return v, e.Revision(), s.decode(e, &v)
}

func (s *Store[T]) decode(e jetstream.KeyValueEntry, v *T) error {
	if err := json.Unmarshal(e.Value(), v); err != nil {
		return fmt.Errorf("%s in %s, revision %d, cannot be read: %w; restore a backup, or lose this one value with: nats kv del %[2]s %[1]s",
			e.Key(), s.bucket, e.Revision(), err)
	}
	return nil
}

// Put writes a value if the key is still at the revision given, 0 meaning that it does not
// exist. It returns the new revision, or [ErrConflict]: read again, decide again.
func (s *Store[T]) Put(ctx context.Context, key string, v T, rev uint64) (uint64, error) {
	data, err := encode(v)
	if err != nil {
		return 0, fmt.Errorf("%s in %s: %w", key, s.bucket, err)
	}
	var now uint64
	if rev == 0 {
		now, err = s.kv.Create(ctx, key, data)
	} else {
		now, err = s.kv.Update(ctx, key, data, rev)
	}
	return now, s.writeError("write", key, rev, err)
}

// encode is json.Marshal, which goes through what a value makes of itself once more: half of the work of a large ledger.
func encode(v any) ([]byte, error) {
	if m, ok := v.(json.Marshaler); ok {
		return m.MarshalJSON()
	}
	return json.Marshal(v)
}

// Delete removes a key if it is still at the revision given. A key that does not exist is no error.
func (s *Store[T]) Delete(ctx context.Context, key string, rev uint64) error {
	_, err := s.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	return s.writeError("delete", key, rev, s.kv.Purge(ctx, key, jetstream.LastRevision(rev)))
}

func (s *Store[T]) writeError(verb, key string, rev uint64, err error) error {
	if err != nil && (lostRace(err) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)) {
		return fmt.Errorf("%w: %s in %s is not at revision %d", ErrConflict, key, s.bucket, rev)
	}
	return wrap(fmt.Sprintf("%s %s in %s", verb, key, s.bucket), err)
}

// List reads every value, sorted by key.
func (s *Store[T]) List(ctx context.Context) ([]Entry[T], error) {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, err := s.Watch(watch)
	if err != nil {
		return nil, err
	}
	return listed(ctx, changes)
}

// Watch reports every value the bucket holds, one empty change with Current set, and then
// what is written and deleted, until ctx is done; the channel is closed then.
func (s *Store[T]) Watch(ctx context.Context) (<-chan Change[T], error) {
	w, err := s.kv.WatchAll(ctx)
	if err != nil {
		return nil, wrap("watch "+s.bucket, err)
	}
	out := make(chan Change[T])
	go s.forward(ctx, w, out)
	return out, nil
}

func (s *Store[T]) forward(ctx context.Context, w jetstream.KeyWatcher, out chan<- Change[T]) {
	defer close(out)
	defer w.Stop() //nolint:errcheck // 2026-11-23: the subscription ends with its connection at the latest
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			select {
			case out <- s.change(e):
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *Store[T]) change(e jetstream.KeyValueEntry) Change[T] {
	if e == nil {
		return Change[T]{Current: true}
	}
	c := Change[T]{Entry: Entry[T]{Key: e.Key(), Rev: e.Revision()}}
	if e.Operation() != jetstream.KeyValuePut {
		c.Deleted = true
		return c
	}
	c.Err = s.decode(e, &c.Value)
	return c
}
