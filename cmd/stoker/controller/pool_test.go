package controller

import (
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// Functions that need GPUs learn from each other, those that need none neither teach nor
// learn, and what is known is no older than poolEvery.
func TestPool(t *testing.T) {
	c := &Controller{fns: map[functions.Key]*function{}}
	add := func(name string, gpus int, missed float64) *function {
		f := newFunction(functions.Key{Namespace: "default", Name: name})
		f.spec.GPUs = gpus
		f.stored.State.Habits = scale.Habits{Allowed: 1, Missed: missed}
		c.fns[f.key] = f
		return f
	}
	a, b, none := add("a", 1, 2), add("b", 2, 3), add("none", 0, 100)
	if c.pool(none, now) != nil {
		t.Error("a function without a GPU has a pool")
	}
	if got := c.pool(a, now); got.Missed != 5 || got.Allowed != 2 {
		t.Errorf("pool %+v", got)
	}
	b.stored.State.Habits.Missed = 7
	if got := c.pool(b, now.Add(poolEvery-time.Second)); got.Missed != 5 {
		t.Errorf("put together again at once: %+v", got)
	}
	if got := c.pool(b, now.Add(poolEvery)); got.Missed != 9 {
		t.Errorf("not put together again: %+v", got)
	}
}

// Late requests are handed to a decision once.
func TestLateRequestsAreCountedOnce(t *testing.T) {
	f := newFunction(functions.Key{Namespace: "default", Name: "f"})
	f.account(events.Totals{Late: 1, Served: 4}, events.Totals{Late: 4, Served: 9})
	if obs := f.observation(new(scale.Stock).Of(&scale.Ledger{}), now); obs.Late != 3 || obs.Ended != 5 {
		t.Errorf("%d late of %d", obs.Late, obs.Ended)
	}
	f.takeIn()
	if obs := f.observation(new(scale.Stock).Of(&scale.Ledger{}), now); obs.Late != 0 {
		t.Errorf("%d late again", obs.Late)
	}
}
