package board

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
)

// at is a status whose epoch tells which one it is.
func at(id string, epoch uint64) activities.ReplicaStatus {
	return activities.ReplicaStatus{ID: id, Epoch: epoch}
}

func next(t *testing.T, c <-chan activities.ReplicaStatus) activities.ReplicaStatus {
	t.Helper()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	select {
	case s, open := <-c:
		if !open {
			t.Fatal("the watch ended")
		}
		return s
	case <-end.C:
		t.Fatal("nothing came")
	}
	return activities.ReplicaStatus{}
}

func TestAReaderBeginsWithWhatThereIs(t *testing.T) {
	var b Board
	b.Post(at("b", 1))
	b.Post(at("a", 1))
	b.Post(at("b", 2))
	b.Post(at("dropped", 1))
	b.Drop("dropped")
	if got := b.List(); len(got) != 2 || got[0].ID != "a" || got[1].Epoch != 2 {
		t.Errorf("list %+v", got)
	}
	c := b.Watch(t.Context())
	if s := next(t, c); s.ID != "a" {
		t.Errorf("first %+v", s)
	}
	if s := next(t, c); s.ID != "b" || s.Epoch != 2 {
		t.Errorf("second %+v", s)
	}
	b.Post(at("a", 7))
	if s := next(t, c); s.ID != "a" || s.Epoch != 7 {
		t.Errorf("then %+v", s)
	}
}

// TestASlowReaderSkipsToTheNewest posts while nobody reads: at most the one status that was on
// its way is old.
func TestASlowReaderSkipsToTheNewest(t *testing.T) {
	var b Board
	c := b.Watch(t.Context())
	const replicas, posts = 5, 100
	for n := range posts {
		for r := range replicas {
			b.Post(at(fmt.Sprint(r), uint64(n+1)))
		}
	}
	newest := map[string]uint64{}
	for reads := 0; len(newest) < replicas || slices.Min(values(newest)) < posts; reads++ {
		s := next(t, c)
		if s.Epoch <= newest[s.ID] {
			t.Fatalf("%+v came after %d", s, newest[s.ID])
		}
		newest[s.ID] = s.Epoch
		if reads > replicas {
			t.Fatalf("%d reads for %d replicas", reads, replicas)
		}
	}
}

func values(m map[string]uint64) []uint64 {
	var out []uint64
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func TestManyReadersAllSeeTheEnd(t *testing.T) {
	var b Board
	const readers, writers, posts = 8, 4, 200
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range readers {
		c := b.Watch(ctx)
		wg.Go(func() {
			newest := map[string]uint64{}
			for s := range c {
				if s.Epoch <= newest[s.ID] {
					t.Errorf("%+v came after %d", s, newest[s.ID])
				}
				newest[s.ID] = s.Epoch
				if len(newest) == writers && slices.Min(values(newest)) == posts {
					return
				}
			}
			t.Errorf("a reader saw no more than %v", newest)
		})
	}
	for w := range writers {
		wg.Go(func() {
			for n := range posts {
				b.Post(at(fmt.Sprint(w), uint64(n+1)))
			}
		})
	}
	wg.Wait()
}

func TestAReaderLeavesWithItsContext(t *testing.T) {
	var b Board
	ctx, cancel := context.WithCancel(t.Context())
	c := b.Watch(ctx)
	b.Post(at("a", 1))
	cancel()
	for range c { // until it is closed
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.readers) != 0 {
		t.Errorf("%d readers stay", len(b.readers))
	}
}
