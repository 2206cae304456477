package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/e2e/history"
)

func TestASeedIsASchedule(t *testing.T) {
	size := Size{Kills: 400, Stops: 9, Row: 5, Wipes: 3, Pause: time.Second}
	plan := NewPlan(7, size)
	if !slices.Equal(plan, NewPlan(7, size)) {
		t.Error("the same seed makes another plan")
	}
	if slices.Equal(plan, NewPlan(8, size)) {
		t.Error("another seed makes the same plan")
	}
	got := map[string]int{}
	for _, s := range plan {
		got[s.What+" "+s.Program]++
		if s.Pause < 0 || s.Pause > 4*size.Pause {
			t.Errorf("a pause of %s", s.Pause)
		}
	}
	for _, program := range []string{history.Platform, history.Agent, history.Server} {
		if got["stop "+program] != 3 || got["kill "+program] < 20 {
			t.Errorf("%s: %v", program, got)
		}
	}
	if got["row platform"] != 1 || got["wipe platform"] != 3 || len(plan) != 400+9+1+3 || size.Total() != 408 {
		t.Errorf("%d steps: %v", len(plan), got)
	}
}

func TestASeedIsALoad(t *testing.T) {
	draw := func(seed uint64) (out []string) {
		c := newClient(nil, Options{Seed: seed, Deadline: time.Minute})
		for n := range 2000 {
			a := c.next(n, n/50)
			out = append(out, fmt.Sprint(a.id, a.nonce, a.function, a.class, a.via, string(a.body)))
		}
		return out
	}
	if !slices.Equal(draw(1), draw(1)) || slices.Equal(draw(1), draw(2)) {
		t.Error("the requests do not follow from the seed")
	}
	c, seen := newClient(nil, Options{Deadline: time.Minute}), map[string]bool{}
	for n := range 2000 {
		a := c.next(n, n/50)
		seen[a.via], seen[a.function.Name], seen[string(a.class)] = true, true, true
	}
	if len(seen) != functionsN+4+3 {
		t.Errorf("%d of %d functions, ways and classes are used", len(seen), functionsN+4+3)
	}
}
