package bench

import (
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

// TestLostIsWhatHasNoRecord: a request that ended otherwise than with a result is not lost.
func TestLostIsWhatHasNoRecord(t *testing.T) {
	nc, _, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Ensure(t.Context(), events.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	var asked []events.Request
	for id, status := range map[string]events.Status{"a": events.StatusOK, "b": events.StatusOK, "c": events.StatusShed, "d": ""} {
		r := events.Request{Event: events.Event{ID: id, Source: "s"}, Key: functions.Key{Namespace: "default", Name: "f"}}
		asked = append(asked, r)
		if status == "" {
			continue
		}
		if _, err := bus.WriteRecord(t.Context(), r.Record(status, "", ""), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	answered, lost, err := outcomes(t.Context(), bus, asked)
	if err != nil || answered != 2 || lost != 1 {
		t.Errorf("%d answered, %d lost, %v; want 2 and 1", answered, lost, err)
	}
}

// TestAStepLastsUntilTheLastIsDone, whichever was called last.
func TestAStepLastsUntilTheLastIsDone(t *testing.T) {
	began := time.Now()
	after := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	r, k := newRecord(), functions.Key{Namespace: "default", Name: "f"}
	r.reset()
	r.begin(began)
	r.live["a"], r.live["b"] = &served{key: k}, &served{key: k}
	for _, id := range []string{"a", "b"} {
		r.leave(id)
	}
	if r.leave("a") != nil || r.running() != 2 {
		t.Errorf("%d run, want both until they are gone", r.running())
	}
	r.left(k, after(1), after(9))
	r.left(k, after(2), after(3))
	s := r.report(began, 10*time.Second, counters{}, counters{evaluations: 40, decisions: 20, events: 30})
	if r.running() != 0 || s.Changes != 2 || s.AllMS != 9000 || s.Replicas.Max != 2000 {
		t.Errorf("%d run, %+v", r.running(), s)
	}
	if s.DecisionsPerSec != 2 || s.EvaluationsPerSec != 4 || s.EventsPerChange != 15 {
		t.Errorf("%+v", s)
	}
}

// TestAReplicaThatEndedUnaskedIsNotCountedBesideItsReplacement.
func TestAReplicaThatEndedUnaskedIsNotCountedBesideItsReplacement(t *testing.T) {
	r := newRecord()
	for _, id := range []string{"given up", "its replacement", "another"} {
		r.started(activities.ReplicaSpec{ID: id}, time.Now(), time.Now())
	}
	r.ended("given up")
	r.leave("another")
	r.ended("another") // it was stopped, and the provider tells that it is gone
	if r.running() != 2 || r.unasked != 1 {
		t.Errorf("%d run and %d ended unasked, want 2 and 1", r.running(), r.unasked)
	}
}
