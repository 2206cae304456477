package events

import (
	"context"
	"errors"
)

// Room of a shard's stream, in bytes.
const (
	roomOpen = -1 // each subject has its own bound
	// roomHeld is less than any message has. The stream refuses what is new and drops nothing of
	// what it holds, since it discards new messages, not old ones.
	roomHeld = 1
)

func (b *Bus) shardRoom() int64 {
	if b.held.Load() {
		return roomHeld
	}
	return roomOpen
}

// Hold has the broker itself refuse new requests, or take them again: a plain publisher gets an
// error at once ([ErrNoRoom] from [Bus.Publish]) where it would otherwise learn nothing of a
// disk that is nearly full. What is stored goes on being delivered, acknowledged and answered.
// Doing it again changes nothing; after an error some shards may be as they were.
func (b *Bus) Hold(ctx context.Context, held bool) error {
	b.held.Store(held)
	var errs []error
	for shard := range Shards {
		errs = append(errs, b.changeShard(ctx, shard, func(now []string) []string { return now }))
	}
	return errors.Join(errs...)
}
