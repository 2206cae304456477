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
	must(t, r.box.Call(t.Context(), func() { job.shard = r.Controller.fns[named].rec.Shard }))
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

// TestWhatAgentsTookMeanwhileIsNotShed: a count is up to seconds old when its excess is shed, and does not know of which
// class the requests in flight are.
func TestWhatAgentsTookMeanwhileIsNotShed(t *testing.T) {
	const stored, room = 10, 4
	for _, c := range []struct{ taken, ended, want int }{
		{0, 0, stored - room},
		{3, 0, stored - room - 3}, // in flight, so that seven wait
		{3, 3, stored - room - 3}, // ended and gone
		{6, 0, 0},
		{stored, 0, 0},
	} {
		r := newRig(t)
		_, err := r.Apply(t.Context(), []functions.Function{r.manifest("f", "")}, false)
		must(t, err)
		must(t, r.Pause(t.Context(), named, true)) // nobody else takes or sheds them
		r.publish(stored, functions.Batch)
		job := &reapJob{
			key: named, counts: map[functions.Class]int{functions.Batch: stored},
			excess: map[functions.Class]int{functions.Batch: stored - room}, room: map[functions.Class]int{functions.Batch: room},
		}
		must(t, r.box.Call(t.Context(), func() { job.shard = r.Controller.fns[named].rec.Shard }))
		must(t, r.bus.OpenQueue(t.Context(), named, job.shard))
		r.take(job.shard, c.taken, c.ended)
		n, err := job.run(t.Context(), r.Controller)
		must(t, err)
		left, err := r.bus.PendingOf(t.Context(), named, job.shard)
		must(t, err)
		if got := int(left[functions.Batch]); n != c.want || got != stored-c.ended-c.want {
			t.Errorf("%d taken, %d of them ended: %d shed, %d left; want %d shed", c.taken, c.ended, n, got, c.want)
		}
	}
}

// take pulls requests as agents do, and ends the first of them.
func (r *rig) take(shard, n, ended int) {
	r.t.Helper()
	next := events.NextSubject(events.ShardStream(shard), events.Consumer(named, functions.Batch))
	for i := range n {
		m, err := r.bus.Conn().RequestWithContext(r.t.Context(), next, []byte(`{"batch":1}`))
		must(r.t, err)
		if m.Header.Get("Status") != "" {
			r.t.Fatalf("no request: %v", m.Header)
		}
		if i < ended {
			_, err = r.bus.Conn().RequestWithContext(r.t.Context(), m.Reply, []byte("+ACK"))
			must(r.t, err)
		}
	}
}
