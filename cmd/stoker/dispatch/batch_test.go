package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// power is what a machine runs on: after so many writes it is gone, and the last of them may or may not be done.
type power struct {
	mu   sync.Mutex
	left int
	half bool // the write at which it goes is done
}

var errPower = errors.New("the machine is gone")

// use tells whether a write is done, and whether its caller lives to see it.
func (p *power) use() (done bool, err error) {
	p.left--
	switch {
	case p.left > 0:
		return true, nil
	case p.left == 0:
		return p.half, errPower
	default:
		return false, errPower
	}
}

// drawer is a bucket in memory that outlives the machine.
type drawer[T any] struct {
	power *power
	rev   uint64
	there map[string]events.Entry[T]
}

func (d *drawer[T]) Get(_ context.Context, key string) (T, uint64, error) {
	d.power.mu.Lock()
	defer d.power.mu.Unlock()
	e, ok := d.there[key]
	if !ok {
		return e.Value, 0, events.ErrNotFound
	}
	return e.Value, e.Rev, nil
}

func (d *drawer[T]) Put(_ context.Context, key string, v T, rev uint64) (uint64, error) {
	d.power.mu.Lock()
	defer d.power.mu.Unlock()
	if d.there[key].Rev != rev {
		return 0, events.ErrConflict
	}
	done, err := d.power.use()
	if done {
		d.rev++
		d.there[key] = events.Entry[T]{Key: key, Value: v, Rev: d.rev}
	}
	if err != nil {
		return 0, err
	}
	return d.rev, nil
}

func (d *drawer[T]) Delete(_ context.Context, key string, _ uint64) error {
	d.power.mu.Lock()
	defer d.power.mu.Unlock()
	done, err := d.power.use()
	if done {
		delete(d.there, key)
	}
	return err
}

func (d *drawer[T]) List(context.Context) ([]events.Entry[T], error) {
	d.power.mu.Lock()
	defer d.power.mu.Unlock()
	return slices.Collect(maps.Values(d.there)), nil
}

// A machine that goes at any write of a submission leaves all of its jobs or none, and all where it was accepted.
func TestABatchIsTakenWholeOrNotAtAll(t *testing.T) {
	const jobs = 5
	for _, half := range []bool{false, true} {
		for writes := 1; ; writes++ {
			p := &power{left: writes, half: half}
			records, learned := &drawer[events.JobRecord]{power: p, there: map[string]events.Entry[events.JobRecord]{}}, &drawer[json.RawMessage]{power: p, there: map[string]events.Entry[json.RawMessage]{}}
			o := Options{Records: records, Learned: learned, State: &drawer[Stored]{power: p}, Spending: prices{}, Log: slog.New(slog.DiscardHandler)}
			plans := make([]submission, jobs)
			for i := range plans {
				plans[i].rec = events.JobRecord{UID: fmt.Sprint(i)}
				plans[i].rec.Job.Metadata = functions.Metadata{Namespace: "ns", Name: fmt.Sprintf("job-%d", i)}
			}
			err := New(o).storeAll(t.Context(), plans)
			p.left = 1 << 20 // it is there again
			again := New(o)
			if err := again.restore(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := len(again.jobs); n != 0 && n != jobs || err == nil && n != jobs {
				t.Errorf("%d jobs are there after %d writes (the last one done: %v), and who submitted heard %v", n, writes, half, err)
			}
			if len(learned.there) > 0 {
				t.Errorf("left over: %v", learned.there)
			}
			if err == nil {
				break
			}
		}
	}
}
