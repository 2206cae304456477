package capacity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale"
)

// memory is a store whose writes sometimes lose their answer, before or after they happened.
type memory struct {
	mu     sync.Mutex
	ledger scale.Ledger
	rev    uint64
	lose   func() int // 0: all is well; 1: not written; 2: written, and the answer is lost
	fault  error      // the first broken promise
}

func (m *memory) Get(context.Context, string) (scale.Ledger, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rev == 0 {
		return scale.Ledger{}, 0, events.ErrNotFound
	}
	return m.ledger, m.rev, nil
}

func (m *memory) Put(_ context.Context, _ string, l scale.Ledger, rev uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lost := m.lose()
	switch {
	case lost == 1:
		return 0, errCut
	case rev != m.rev:
		return 0, events.ErrConflict
	}
	m.ledger, m.rev = l, m.rev+1
	if u := l.Usage(); m.fault == nil && u.Reserved+u.Bound+u.Draining+u.Unknown > u.Capacity {
		m.fault = fmt.Errorf("more is held than there is: %+v", u)
	}
	if err := l.Check(); m.fault == nil && err != nil {
		m.fault = err
	}
	if lost == 2 {
		return 0, errCut
	}
	return m.rev, nil
}

// TestWhateverHappensReservedStaysWithinCapacity does anything in any order through two writers
// over a store that fails: every ledger ever written is sound, and whoever was told of a lease
// has it until it is released.
func TestWhateverHappensReservedStaysWithinCapacity(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx, cancel := context.WithCancel(context.Background())
		var writers []*Writer
		defer func() {
			cancel()
			for _, w := range writers {
				<-w.Done()
			}
		}()
		faults := rapid.SliceOfN(rapid.IntRange(0, 4), 64, 64).Draw(rt, "faults")
		writes := 0
		m := &memory{lose: func() int { writes++; return faults[writes%len(faults)] }}
		for range 2 {
			w, err := OpenAt(ctx, m, pool, time.Now)
			if err != nil {
				rt.Fatal(err)
			}
			writers = append(writers, w)
		}
		told := map[string]scale.Lease{}
		steps := rapid.IntRange(1, 60).Draw(rt, "steps")
		for i := range steps {
			w := writers[rapid.IntRange(0, 1).Draw(rt, "writer")]
			node := fmt.Sprint("n", rapid.IntRange(0, 1).Draw(rt, "node"))
			holder := fmt.Sprint("r", rapid.IntRange(0, 9).Draw(rt, "holder"))
			var err error
			switch rapid.IntRange(0, 6).Draw(rt, "what") {
			case 0:
				err = w.SetDevices(ctx, node, devices(node, rapid.IntRange(0, 3).Draw(rt, "gpus")))
			case 1:
				err = w.NodeLost(ctx, node)
			case 2:
				err = w.Bind(ctx, holder, told[holder].Epoch, w.now())
			case 3:
				if err = w.Release(ctx, holder, "done"); err == nil {
					delete(told, holder)
				}
			case 4:
				err = w.MarkDraining(ctx, holder)
			default:
				err = claim(ctx, w, holder, told)
			}
			if err != nil && !known(err) {
				rt.Fatalf("step %d: %v", i, err)
			}
		}
		if m.fault != nil {
			rt.Fatal(m.fault)
		}
		for holder, lease := range told {
			now, there := m.ledger.Lease(holder)
			if !there || now.Epoch != lease.Epoch {
				rt.Fatalf("%s was told of %+v, the ledger has %+v", holder, lease, now)
			}
		}
	})
}

// claim reserves a GPU and notes what it was told.
func claim(ctx context.Context, w *Writer, holder string, told map[string]scale.Lease) error {
	claims, err := w.Reserve(ctx, []scale.Ask{ask(holder)}, time.Hour)
	if err != nil {
		return err
	}
	if claims[0].Err == nil {
		told[holder] = claims[0].Lease
	}
	return claims[0].Err
}

// known are the answers that are no surprise.
func known(err error) bool {
	for _, want := range []error{errCut, scale.ErrNoCapacity, scale.ErrTombstone, scale.ErrUnknownHolder, scale.ErrEpoch} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}
