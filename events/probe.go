package events

import (
	"context"
	"time"
)

// keyProbe is a key of the attempts bucket that no request has: its first part is no namespace.
const keyProbe = "_probe.disk"

// Probe finds out whether the broker still stores what it acknowledges, by storing a few bytes.
// A broker whose disk is full goes on answering everything else.
func (b *Bus) Probe(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	kv, err := b.js.KeyValue(ctx, BucketAttempts)
	if err != nil {
		return wrap("bucket "+BucketAttempts, err)
	}
	_, err = kv.Put(ctx, keyProbe, []byte(time.Now().UTC().Format(time.RFC3339Nano)))
	return wrap("write "+keyProbe+" in "+BucketAttempts, err)
}
