package providertest

import (
	"errors"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// rank makes the spec of the one rank of a gang, whose program behaves once its barrier is open.
func (h Harness) rank(b Behaviour) activities.ReplicaSpec {
	r, run := h.replica(b), h.Runtime(b)
	job := functions.JobSpec{
		Runtime:    functions.JobRuntime{Image: run.Image, Command: run.Command, Args: run.Args, Local: run.Local},
		Preemption: functions.Preemption{Grace: functions.Duration(time.Minute)},
	}
	if h.Rank != nil {
		job.Runtime = h.Rank(b)
	}
	k := r.Key
	r.Key, r.Spec = events.RankKey(k), job.Rank()
	r.Gang = &contract.Place{
		Job: k, Spec: job, Attempt: 1, Generation: 1, Addresses: []string{"127.0.0.1"}, Port: 29500, CheckpointDir: h.Checkpoints,
	}
	return r
}

// ranksLive: a rank is a replica to its provider, from the start to the end.
func ranksLive(t *testing.T, h *Harness) {
	spec := h.rank(Serves)
	before := start(t, h, spec)
	if before.Key != spec.Key || before.Revision != spec.Revision || before.Node == "" {
		t.Errorf("status %+v does not say what was started", before)
	}
	if err := insist(t, h.Provider, spec); err != nil {
		t.Errorf("a second start: %v", err)
	}
	h.Provider = h.Restart(t)
	after := awaitState(t, h.Provider, spec.ID, activities.RunRunning)
	if after.PID != before.PID || !after.Started.Equal(before.Started) || after.Key != before.Key || after.Epoch != before.Epoch {
		t.Errorf("adopted as %+v, was %+v", after, before)
	}
	stop(t, h, spec.ID)
	if err := h.Provider.Start(t.Context(), spec); !errors.Is(err, activities.ErrStopped) {
		t.Errorf("a start after the stop: %v, want ErrStopped", err)
	}
}

// ranksGoWhenAsked: one that waits at the barrier has nothing to save, and does not use up its grace.
func ranksGoWhenAsked(t *testing.T, h *Harness) {
	spec := h.rank(Serves)
	start(t, h, spec)
	began := time.Now()
	if err := insistStop(t, h.Provider, spec.ID, time.Minute); err != nil {
		t.Fatal(err)
	}
	if s := awaitState(t, h.Provider, spec.ID, activities.RunGone); s.Ended.IsZero() || time.Since(began) > time.Minute {
		t.Errorf("gone as %+v after %v", s, time.Since(began))
	}
}
