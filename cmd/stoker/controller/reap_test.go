package controller

import (
	"errors"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/workflows"
)

// TestEndedRequestsAreTakenOutOfTheQueue leaves requests in the queue as a killed broker does: with their record
// written, acknowledged, and there all the same. Those that have not ended stay.
func TestEndedRequestsAreTakenOutOfTheQueue(t *testing.T) {
	r := newRig(t)
	_, err := r.Apply(t.Context(), []functions.Function{r.manifest("f", "")}, false)
	must(t, err)
	must(t, r.Pause(t.Context(), named, true)) // nobody else ends them
	r.publish(3, functions.Standard)
	rec := events.Record{ID: "standard1", Source: "test", Function: named, Class: functions.Standard, Status: events.StatusOK}
	_, err = r.bus.WriteRecord(t.Context(), rec, time.Hour)
	must(t, err)
	job := &reapJob{key: named, ended: time.Now().Add(time.Hour), counts: map[functions.Class]int{functions.Standard: 3}}
	must(t, r.call(t.Context(), func() { job.shard = r.Controller.fns[named].rec.Shard }))
	if n, err := job.run(t.Context(), r.Controller); n != 1 || err != nil {
		t.Errorf("%d requests taken out, want 1: %v", n, err)
	}
	for seq := uint64(1); ; {
		req, err := r.bus.Peek(t.Context(), job.shard, named, functions.Standard, seq)
		if errors.Is(err, events.ErrNoRequest) {
			break
		}
		must(t, err)
		if req.Event.ID == "standard1" {
			t.Error("the request with a record is still there")
		}
		seq = req.Seq + 1
	}
	if left, err := r.bus.PendingOf(t.Context(), named, job.shard); err != nil || left[functions.Standard] != 2 {
		t.Errorf("%v are left, %v; want two", left, err)
	}
}

func TestIdleAgentsBesideAQueueAreNoticed(t *testing.T) {
	f := newFunction(named)
	ready := &replica{id: "a", phase: workflows.PhaseReady}
	for _, step := range []struct {
		what  string
		after time.Duration
		do    func()
		want  bool
	}{
		{"nobody is ready", 0, func() {}, false},
		{"an agent has begun to idle", time.Second, func() { f.replicas["a"] = ready }, false},
		{"not for long enough", stuckAfter, func() {}, false},
		{"for long enough", stuckAfter + time.Second, func() {}, true},
		{"told once", stuckAfter + 2*time.Second, func() {}, false},
		{"it works", 2 * stuckAfter, func() { ready.beat.InFlight = 1 }, false},
		{"it idles anew", 3 * stuckAfter, func() { ready.beat.InFlight = 0 }, false},
		{"for long enough again", 4*stuckAfter + time.Second, func() {}, true},
	} {
		step.do()
		if got := f.stuck(now.Add(step.after)); got != step.want {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
	}
}
