package platform

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// Everything that was written before a call is covered by the round that answers it, and all who come while a round
// is under way share the next.
func TestWritersShareASync(t *testing.T) {
	const writers = 100
	var written, synced, rounds atomic.Int64
	var arrived sync.WaitGroup
	arrived.Add(writers)
	began := make(chan struct{})
	g := together{}
	g.do = func() error {
		upTo := written.Load()
		if rounds.Add(1) == 1 {
			close(began)
			arrived.Wait() // a slow disk: meanwhile everybody else has written
		}
		synced.Store(upTo)
		return nil
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := g.call(); err != nil {
			t.Error(err)
		}
	})
	<-began
	for range writers {
		all.Go(func() {
			mine := written.Add(1)
			arrived.Done()
			if err := g.call(); err != nil || synced.Load() < mine {
				t.Errorf("answered with %d of %d on the disk: %v", synced.Load(), mine, err)
			}
		})
	}
	all.Wait()
	if n := rounds.Load(); n < 2 || n > writers { // 101 of them if none was shared
		t.Errorf("%d syncs for %d writers at once", n, writers)
	}
}

func TestAFailedSyncIsToldToAllWhoSharedIt(t *testing.T) {
	full := errors.New("disk is full")
	g := together{do: func() error { return full }}
	for range 2 {
		if err := g.call(); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	}
}
