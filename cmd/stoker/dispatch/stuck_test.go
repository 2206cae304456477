package dispatch

import (
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// hung is a job that counts as stuck after a minute.
func hung(action functions.StuckAction) functions.JobSpec {
	spec := elastic(functions.Goal{})
	spec.Stuck = functions.Stuck{After: functions.Duration(time.Minute), Action: action}
	return spec
}

// A gang that can be reached and reports nothing new is stuck: people are told once, with what it is seen by, and it is
// started again only if its manifest says so.
func TestAGangThatReportsNothingNewIsStuck(t *testing.T) {
	for action, restarts := range map[functions.StuckAction]int{functions.StuckReport: 0, functions.StuckRestart: 1} {
		h := newHall(t, hung(action), 2)
		h.hears(30*time.Second, 1)
		h.hears(59*time.Second, 0)
		if v := h.view(h.e, nil); v.Stuck != nil {
			t.Fatalf("%s: stuck before its time: %+v", action, v.Stuck)
		}
		h.hears(30*time.Second, 0)
		v := h.view(h.e, nil).Stuck
		if v == nil || v.Step != 30 || !v.Since.Equal(origin.Add(30*time.Second)) || !strings.Contains(strings.Join(v.Evidence, "; "), "rank 1 is furthest behind, at step 29") {
			t.Fatalf("%s: people see %+v", action, v)
		}
		if got := <-h.said; got != "job/stuck" {
			t.Errorf("%s: told of %s", action, got)
		}
		if got := h.asked(t, job.Stuck); len(got) != restarts {
			t.Errorf("%s: its workflow was told %+v", action, got)
		}
		h.hears(time.Second, 1)
		if v := h.view(h.e, nil); v.Stuck != nil {
			t.Errorf("%s: it goes on, and is stuck: %+v", action, v.Stuck)
		}
	}
}

// TestUnreachableIsNotStuck: nobody knows whether a gang moves that cannot be reached, in whole or in part, and it has all
// of its time once it is heard again.
func TestUnreachableIsNotStuck(t *testing.T) {
	h := newHall(t, hung(functions.StuckRestart), 2)
	h.hears(30*time.Second, 1)
	for range 3600 {
		h.now = h.now.Add(time.Second)
		h.tick()
	}
	h.hears(55*time.Second, 0)
	if v := h.view(h.e, nil); v.Stuck != nil || len(h.asked(t, job.Stuck)) > 0 {
		t.Errorf("stuck after %s out of reach: %+v", time.Hour, v.Stuck)
	}
}

// TestAWaitAtTheBarrierIsNoHang: an attempt has all of its time from when it trains.
func TestAWaitAtTheBarrierIsNoHang(t *testing.T) {
	h := newHall(t, hung(functions.StuckRestart), 2)
	h.hears(30*time.Second, 1)
	h.e.Life.Phase = job.Barrier
	h.hears(10*time.Minute, 0)
	h.e.Life.Phase = job.Running
	h.hears(55*time.Second, 0)
	if v := h.view(h.e, nil); v.Stuck != nil {
		t.Errorf("it trains for 55 s, and is stuck: %+v", v.Stuck)
	}
	h.hears(10*time.Second, 0)
	if v := h.view(h.e, nil); v.Stuck == nil {
		t.Error("it trains for 65 s without a step, and is not stuck")
	}
}

// TestSlowStepsAreNoHang, nor is a program that never reports.
func TestSlowStepsAreNoHang(t *testing.T) {
	h := newHall(t, hung(functions.StuckRestart), 1)
	h.hears(10*time.Minute, 0.05) // every 20 seconds
	h.hears(5*time.Minute, 0)
	if v := h.view(h.e, nil); v.Stuck != nil {
		t.Errorf("a step takes 20 s, and after five minutes it is stuck: %+v", v.Stuck)
	}
	h.hears(10*time.Minute, 0)
	if v := h.view(h.e, nil); v.Stuck == nil {
		t.Error("a step takes 20 s, and after a quarter of an hour it is not stuck")
	}
	mute := newHall(t, hung(functions.StuckRestart), 1)
	for range 600 {
		mute.now = mute.now.Add(time.Second)
		mute.beats(0)
		mute.tick()
	}
	if v := mute.view(mute.e, nil); v.Stuck != nil {
		t.Errorf("it never reports: %+v", v.Stuck)
	}
}
