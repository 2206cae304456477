package platform

import (
	"context"

	"stoker.dev/stoker/events"
)

// durable is a bucket whose writes are on the disk when they return, for what nobody would think
// to write again after a power cut: somebody was told that a function is deployed. What can be
// worked out again (scaling state, the ledger) and requests go by the sync interval.
type durable[T any] struct {
	events.KV[T]
	sync func() error
}

// Put implements [events.KV]. Where the disk fails the value is stored and may not last.
func (d durable[T]) Put(ctx context.Context, key string, v T, revision uint64) (uint64, error) {
	rev, err := d.KV.Put(ctx, key, v, revision)
	if err != nil {
		return rev, err
	}
	return rev, d.sync()
}

// Delete implements [events.KV].
func (d durable[T]) Delete(ctx context.Context, key string, revision uint64) error {
	if err := d.KV.Delete(ctx, key, revision); err != nil {
		return err
	}
	return d.sync()
}
