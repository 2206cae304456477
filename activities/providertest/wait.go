package providertest

import (
	"context"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
)

// Times of the suite.
const (
	// patience is how long anything may take on a busy machine before it counts as hung.
	patience = 60 * time.Second
	// look is how often a condition is looked at.
	look = 5 * time.Millisecond
	// calm is how long something that must not happen is waited for.
	calm = 200 * time.Millisecond
)

// within waits until ok.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// never fails if bad comes true within a short while.
func never(t *testing.T, what string, bad func() bool) {
	t.Helper()
	end := time.NewTimer(calm)
	defer end.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if bad() {
			t.Fatal(what)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}

// find is the status of a replica, and whether it has one.
func find(t *testing.T, p activities.Provider, id string) (activities.ReplicaStatus, bool) {
	t.Helper()
	all, err := p.List(t.Context())
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, s := range all {
		if s.ID == id {
			return s, true
		}
	}
	return activities.ReplicaStatus{}, false
}

// awaitState waits until a replica is in a state and returns its status.
func awaitState(t *testing.T, p activities.Provider, id string, want activities.RunState) activities.ReplicaStatus {
	t.Helper()
	var s activities.ReplicaStatus
	within(t, "replica "+id+" "+string(want), func() bool {
		s, _ = find(t, p, id)
		return s.State == want
	})
	return s
}

// start starts a replica, waits until it runs, and has it stopped with the test.
func start(t *testing.T, h *Harness, spec activities.ReplicaSpec) activities.ReplicaStatus {
	t.Helper()
	if err := insist(t, h.Provider, spec); err != nil {
		t.Fatalf("start: %v", err)
	}
	return awaitState(t, h.Provider, spec.ID, activities.RunRunning)
}

// insist starts a replica as an activity does: what may work next time is tried again.
func insist(t *testing.T, p activities.Provider, spec activities.ReplicaSpec) error {
	return insistently(t, func(ctx context.Context) error { return p.Start(ctx, spec) })
}

// insistStop stops a replica as an activity does.
func insistStop(t *testing.T, p activities.Provider, id string, grace time.Duration) error {
	return insistently(t, func(ctx context.Context) error { return p.Stop(ctx, id, grace) })
}

// insistently tries again what may work next time.
func insistently(t *testing.T, ask func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil || activities.Permanent(err) || ctx.Err() != nil {
			return err
		}
		t.Logf("to be tried again: %v", err)
		select {
		case <-time.After(calm):
		case <-ctx.Done():
		}
	}
}

// stop kills a replica and waits until it is gone.
func stop(t *testing.T, h *Harness, id string) {
	t.Helper()
	if err := insistStop(t, h.Provider, id, 0); err != nil {
		t.Fatalf("stop: %v", err)
	}
	awaitState(t, h.Provider, id, activities.RunGone)
}
