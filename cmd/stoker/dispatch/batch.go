package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"stoker.dev/stoker/events"
)

// A submission of several jobs is taken whole or not at all, also where the platform is killed in the middle. What
// is about to be written is written down first and crossed out last: whoever submitted hears that it is accepted
// only then. What is not crossed out at the next start is taken back; nothing of it has run, since workflows are
// started for what is accepted.

// batchPrefix begins the keys of submissions that are being written.
const batchPrefix = "batch-"

// batch is what a submission is about to write: the UID of each job by the key of its record.
type batch map[string]string

// opened is a batch that was written down.
type opened struct {
	key string
	rev uint64
}

// openBatch writes down what is new of a submission. One job needs no such care.
func (d *Dispatcher) openBatch(ctx context.Context, plans []submission) (opened, error) {
	b := batch{}
	for i := range plans {
		if s := &plans[i]; !s.known {
			b[events.StateKey(s.rec.Job.Key())] = s.rec.UID
		}
	}
	if len(b) < 2 {
		return opened{}, nil
	}
	data, err := json.Marshal(b)
	if err != nil {
		return opened{}, err
	}
	o := opened{key: batchPrefix + newUID()}
	if o.rev, err = d.Learned.Put(ctx, o.key, data, 0); err != nil {
		return opened{}, fmt.Errorf("write down a submission of %d jobs: %w", len(b), err)
	}
	return o, nil
}

// closeBatch crosses a submission out.
func (d *Dispatcher) closeBatch(ctx context.Context, o opened) error {
	if o.key == "" {
		return nil
	}
	if err := d.Learned.Delete(ctx, o.key, o.rev); err != nil {
		return fmt.Errorf("cross a submission out: %w", err)
	}
	return nil
}

// takeBack removes what is stored of submissions that were not written to their end.
func (d *Dispatcher) takeBack(ctx context.Context) error {
	kept, err := d.Learned.List(ctx)
	if err != nil {
		return fmt.Errorf("list the submissions that were being written: %w", err)
	}
	for _, x := range kept {
		if !strings.HasPrefix(x.Key, batchPrefix) {
			continue
		}
		var b batch
		if err := json.Unmarshal(x.Value, &b); err != nil {
			return fmt.Errorf("a submission that was being written: %w; to keep the jobs there are of it, delete the key %s of bucket %s", err, x.Key, events.BucketLearned)
		}
		d.Log.Warn("a submission was cut off: nothing of it is taken", "jobs", len(b))
		for key, uid := range b {
			if err := d.takeBackOne(ctx, key, uid); err != nil {
				return err
			}
		}
		if err := d.closeBatch(ctx, opened{x.Key, x.Rev}); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dispatcher) takeBackOne(ctx context.Context, key, uid string) error {
	rec, rev, err := d.Records.Get(ctx, key)
	if errors.Is(err, events.ErrNotFound) || err == nil && rec.UID != uid {
		return nil
	}
	if err == nil {
		err = d.Records.Delete(ctx, key, rev)
	}
	if err != nil {
		return fmt.Errorf("take back job %s: %w", key, err)
	}
	return nil
}
