package controller

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestWaitingLeavesOutWhatIsInFlight(t *testing.T) {
	f := newFunction(functions.Key{Namespace: "default", Name: "f"})
	f.counts = map[functions.Class]int{functions.Interactive: 2, functions.Batch: 10}
	f.replicas["a"] = &replica{id: "a", phase: workflows.PhaseReady, beat: events.Heartbeat{InFlight: 4}}
	want := map[functions.Class]int{functions.Interactive: 0, functions.Standard: 0, functions.Batch: 8}
	if got := f.waiting(); !maps.Equal(got, want) {
		t.Errorf("waiting %v, want %v", got, want)
	}
}

func TestSilentIsNotGone(t *testing.T) {
	r := &replica{phase: workflows.PhaseReady, beatAt: now}
	for _, c := range []struct {
		after time.Duration
		want  scale.ReplicaPhase
	}{{0, scale.Ready}, {silentAfter, scale.Ready}, {silentAfter + 1, scale.Silent}, {24 * time.Hour, scale.Silent}} {
		if got := r.scalePhase(now.Add(c.after)); got != c.want {
			t.Errorf("after %s: %s, want %s", c.after, got, c.want)
		}
	}
}

func TestReplicaPhasesNeverGoBack(t *testing.T) {
	phases := []string{workflows.PhaseStarting, workflows.PhaseLoading, workflows.PhaseReady, workflows.PhaseDraining, workflows.PhaseStopping, workflows.PhaseExited}
	rapid.Check(t, func(t *rapid.T) {
		r := &replica{phase: workflows.PhaseStarting}
		best := 0
		for _, i := range rapid.SliceOf(rapid.IntRange(0, len(phases)-1)).Draw(t, "told") {
			moved := r.advance(phases[i], now)
			if moved != (i > best) {
				t.Fatalf("told %s at %s: moved %v", phases[i], phases[best], moved)
			}
			best = max(best, i)
			if r.phase != phases[best] {
				t.Fatalf("at %s, want %s", r.phase, phases[best])
			}
		}
	})
}

// A second of a replica's life is in exactly one column, whatever its agent managed to say.
func TestSettleLeavesNoTimeOut(t *testing.T) {
	f := newFunction(functions.Key{Namespace: "default", Name: "f"})
	f.rec.Function.Spec.Resources.GPUs = 2
	r := &replica{phase: workflows.PhaseReady, started: now, beat: events.Heartbeat{Totals: events.Totals{UsefulSec: 3, ColdSec: 1, IdleSec: 2}}}
	r.advance(workflows.PhaseExited, now.Add(10*time.Second))
	f.settle(r)
	s := f.stored.Split
	if s.Useful != 6 || s.Cold != 2 || s.Idle != 4 || s.Unknown != 8 {
		t.Errorf("split %+v, want 6 useful, 2 cold, 4 idle, 8 unknown", s)
	}
}

func TestExitsAreCountedOnceAndOnlyUnasked(t *testing.T) {
	for _, c := range []struct {
		name, phase, cause string
		victims            []string
		want               int
	}{
		{"crashed while ready", workflows.PhaseReady, events.CauseCrashed, nil, 1},
		{"never ready", workflows.PhaseLoading, events.CauseNeverReady, nil, 1},
		{"crashed, and its agent cleans up", workflows.PhaseDraining, events.CauseCrashed, nil, 1},
		{"agent killed", workflows.PhaseReady, events.CauseAgentLost, nil, 1},
		{"crashed while it was to go", workflows.PhaseDraining, events.CauseCrashed, []string{"a"}, 0},
		{"killed after its grace", workflows.PhaseDraining, events.CauseKilled, nil, 0},
		{"drained by the platform's own stop", workflows.PhaseReady, events.CauseDrained, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctl := newIdle()
			f := newFunction(functions.Key{Namespace: "default", Name: "f"})
			f.stored.State.Last.Victims = c.victims
			r := &replica{id: "a", phase: c.phase}
			for range 2 {
				ctl.gone(f, r, activities.ReplicaStatus{ID: "a", State: activities.RunGone, Cause: c.cause, Ended: now})
			}
			if len(f.exits) != c.want {
				t.Errorf("%d exits, want %d", len(f.exits), c.want)
			}
			ctl.work.Wait()
		})
	}
}

// A clock that was set back must not put off the look at deadlines until it has caught up.
func TestAWalkIsDueAfterTheClockWentBack(t *testing.T) {
	f := &function{walkAt: now.Add(walkEvery)}
	for _, c := range []struct {
		at   time.Duration
		want bool
	}{{0, false}, {walkEvery, true}, {time.Hour, true}, {-time.Second, true}, {-time.Hour, true}} {
		if got := f.walkDue(now.Add(c.at)); got != c.want {
			t.Errorf("at %v: due %v, want %v", c.at, got, c.want)
		}
	}
}
