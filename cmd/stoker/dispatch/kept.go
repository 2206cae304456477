package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"stoker.dev/stoker/events"
)

// maxKept is what a value may have in bytes. Brokers take a megabyte (1 MiB) as one message by default, with
// its headers.
const maxKept = 1_000_000

// kept is a value of the loop's that is stored whenever it changes, one write at a time.
type kept struct {
	key     string
	forget  func() bool // makes the value smaller; nil: it is small
	rev     uint64
	saving  bool
	unsaved bool
	stored  func() // called once all of it is; nil: nobody waits for that
}

// restore reads the value; what was never stored stays as it is.
func (k *kept) restore(ctx context.Context, kv events.KV[json.RawMessage], v any) error {
	data, rev, err := kv.Get(ctx, k.key)
	if errors.Is(err, events.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what is known of jobs (%s): %w", k.key, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("what is known of jobs: %w; to begin afresh, delete the key %s of bucket %s", err, k.key, events.BucketLearned)
	}
	k.rev = rev
	return nil
}

// save stores the value as it is now, or once the write that is under way is over as it is then.
func (d *Dispatcher) save(k *kept, v any) {
	if k.saving {
		k.unsaved = true
		return
	}
	data, err := json.Marshal(v)
	for err == nil && len(data) > maxKept && k.forget != nil && k.forget() {
		data, err = json.Marshal(v)
	}
	if err != nil {
		d.Log.Error("what is known of jobs is not stored", "key", k.key, "error", err)
		return
	}
	k.saving, k.unsaved = true, false
	rev := k.rev
	d.box.Outside(func(ctx context.Context) {
		now, err := events.Replace(ctx, d.Learned, k.key, data, rev)
		d.box.Post(func() {
			k.saving = false
			if err != nil {
				k.unsaved = true // the next tick tries again
				d.Log.Warn("what is known of jobs is not stored, trying again", "key", k.key, "error", err)
				return
			}
			k.rev = now
			if k.unsaved {
				d.save(k, v)
			} else if k.stored != nil {
				k.stored()
			}
		})
	})
}

// saveAgain stores what could not be stored.
func (d *Dispatcher) saveAgain(k *kept, v any) {
	if k.unsaved {
		d.save(k, v)
	}
}
