package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"stoker.dev/stoker/functions"
)

// listed reads the values a watch begins with.
func listed[T any](ctx context.Context, changes <-chan Change[T]) ([]Entry[T], error) {
	last := map[string]Entry[T]{}
	for c := range changes {
		switch {
		case c.Current:
			return sorted(last), nil
		case c.Err != nil:
			return nil, c.Err
		case c.Deleted:
			delete(last, c.Key)
		default:
			last[c.Key] = c.Entry
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: the list ended early", ErrNotConnected)
}

func sorted[T any](m map[string]Entry[T]) []Entry[T] {
	out := make([]Entry[T], 0, len(m))
	for _, e := range m {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry[T]) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// FunctionStore keeps the records of deployed functions.
type FunctionStore struct {
	store *Store[FunctionRecord]
}

// Functions opens the store of deployed functions.
func (b *Bus) Functions(ctx context.Context) (*FunctionStore, error) {
	s, err := OpenStore[FunctionRecord](ctx, b, BucketFunctions)
	if err != nil {
		return nil, err
	}
	return &FunctionStore{s}, nil
}

// Get reads a function and its revision. Errors: [ErrNotFound].
func (s *FunctionStore) Get(ctx context.Context, k functions.Key) (FunctionRecord, uint64, error) {
	rec, rev, err := s.store.Get(ctx, StateKey(k))
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: function %s; see: stoker get", ErrNotFound, k)
	}
	return rec, rev, err
}

// Put writes a function if it is still at the revision given; 0 creates it. Errors: [ErrConflict].
func (s *FunctionStore) Put(ctx context.Context, rec FunctionRecord, rev uint64) (uint64, error) {
	return s.store.Put(ctx, StateKey(rec.Function.Key()), rec, rev)
}

// Delete removes a function if it is still at the revision given. Errors: [ErrConflict].
func (s *FunctionStore) Delete(ctx context.Context, k functions.Key, rev uint64) error {
	return s.store.Delete(ctx, StateKey(k), rev)
}

// List reads every function, sorted by namespace and name.
func (s *FunctionStore) List(ctx context.Context) ([]Entry[FunctionRecord], error) {
	return s.store.List(ctx)
}

// Watch reports every function, one empty change with Current set, and then each change,
// until ctx is done. [ParseStateKey] reads the key of one that was deleted.
func (s *FunctionStore) Watch(ctx context.Context) (<-chan Change[FunctionRecord], error) {
	return s.store.Watch(ctx)
}

// Place chooses the shard of a new function from those of all others.
func (s *FunctionStore) Place(ctx context.Context) (int, error) {
	all, err := s.List(ctx)
	if err != nil {
		return 0, err
	}
	counts := make([]int, Shards)
	for _, e := range all {
		if e.Value.Shard >= 0 && e.Value.Shard < Shards {
			counts[e.Value.Shard]++
		}
	}
	return PickShard(counts), nil
}
