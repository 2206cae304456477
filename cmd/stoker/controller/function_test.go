package controller

import (
	"maps"
	"slices"
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
			ctl.box.Wait()
		})
	}
}

// An agent in a Pod sees its model server go and no more; its provider knows why.
func TestWhoKnowsWhyAReplicaEnded(t *testing.T) {
	for _, c := range []struct {
		name, agent, provider string
		child                 int // process ID of a model server that is the agent's own
		cause, message        string
	}{
		{"the kernel killed it", events.CauseCrashed, events.CauseOutOfMemory, 0, events.CauseOutOfMemory, "provider"},
		{"evicted, and drained for that", events.CauseDrained, events.CauseEvicted, 0, events.CauseEvicted, "provider"},
		{"deleted, and its server was faster", events.CauseCrashed, events.CausePodDeleted, 0, events.CausePodDeleted, "provider"},
		{"its node went before it was ready", events.CauseNeverReady, events.CauseNodeLost, 0, events.CauseNodeLost, "provider"},
		{"never heard of", "", events.CauseImagePull, 0, events.CauseImagePull, "provider"},
		{"crashed in a container", events.CauseCrashed, events.CauseCrashed, 0, events.CauseCrashed, "provider"},
		{"crashed before its agent's eyes", events.CauseCrashed, events.CauseCrashed, 7, events.CauseCrashed, "agent"},
		{"never ready, and killed for that", events.CauseNeverReady, events.CauseKilled, 0, events.CauseNeverReady, "agent"},
		{"drained, and killed at the end of its grace", events.CauseDrained, events.CauseKilled, 0, events.CauseDrained, "agent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctl := newIdle()
			r := &replica{id: "a", phase: workflows.PhaseReady, beat: events.Heartbeat{ServerPID: c.child}}
			if c.agent != "" {
				r.explain(c.agent, "agent", 0)
			}
			ctl.gone(newFunction(functions.Key{Namespace: "default", Name: "f"}), r, activities.ReplicaStatus{
				ID: "a", State: activities.RunGone, Cause: c.provider, Message: "provider", Ended: now,
			})
			if r.cause != c.cause || r.message != c.message {
				t.Errorf("%s: %s, want %s: %s", r.cause, r.message, c.cause, c.message)
			}
			ctl.box.Wait()
		})
	}
}

// What a workflow wrote down and could not start leaves with it; what was seen stays until it is gone.
func TestWhatNeverBeganIsForgotten(t *testing.T) {
	f := newFunction(functions.Key{Namespace: "default", Name: "f"})
	for id, change := range map[string]func(*replica){
		"kept by the workflow": func(*replica) {},
		"given up":             func(*replica) {},
		"seen by the provider": func(r *replica) { r.run = activities.RunStarting },
		"heard of":             func(r *replica) { r.beat.At = now },
		"gone":                 func(r *replica) { r.run, r.phase = activities.RunGone, workflows.PhaseExited },
	} {
		change(f.replica(id, "r1", now))
	}
	if !f.forgetReleased(workflows.Status{Replicas: []workflows.ReplicaState{{ID: "kept by the workflow"}}}) {
		t.Error("nothing was forgotten")
	}
	want := []string{"heard of", "kept by the workflow", "seen by the provider"}
	if got := slices.Sorted(maps.Keys(f.replicas)); !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
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
