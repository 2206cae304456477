package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/workflows"
)

// clerk is a Temporal that notes what it was asked for.
type clerk struct {
	starts []workflows.JobState
	told   []workflows.Tell
	fresh  bool
	err    error
}

func (c *clerk) StartJob(_ context.Context, s workflows.JobState) (bool, error) {
	c.starts = append(c.starts, s)
	return c.fresh, c.err
}

func (c *clerk) Tell(_ context.Context, _ functions.Key, t workflows.Tell) (workflows.JobStatus, error) {
	c.told = append(c.told, t)
	return workflows.JobStatus{UID: t.UID}, nil
}

func (c *clerk) JobStatus(context.Context, functions.Key, string) (workflows.JobStatus, error) {
	return workflows.JobStatus{}, workflows.ErrNotRunning
}

// desk is a dispatcher with one accepted job, whose loop is the test.
func desk(t *testing.T, c *clerk) (*Dispatcher, *entry) {
	t.Helper()
	d := New(Options{Workflows: c, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return origin }})
	_, end := d.box.Begin(t.Context())
	t.Cleanup(end)
	rec := events.JobRecord{UID: "uid", Submitted: origin}
	rec.Job.Metadata = functions.Metadata{Namespace: "ns", Name: "train"}
	e := newEntry(rec.Job.Key(), rec, 1)
	d.enqueue(e)
	return d, e
}

// settle runs what is posted until nothing is under way.
func settle(t *testing.T, d *Dispatcher, e *entry) {
	t.Helper()
	for e.telling {
		select {
		case f := <-d.box.In():
			f()
		case <-time.After(time.Minute):
			t.Fatal("nothing is posted")
		}
	}
}

func TestAWorkflowBeginsWithTheAdmission(t *testing.T) {
	c := &clerk{fresh: true}
	d, e := desk(t, c)
	e.tellLater(job.Event{Kind: job.Admit, Generation: e.Life.Generation, Nodes: 1})
	d.tell(e)
	settle(t, d, e)
	if len(c.starts) != 1 || len(c.starts[0].First) != 1 || c.starts[0].First[0].Kind != job.Admit || len(c.told) != 0 {
		t.Errorf("started %+v, told %+v", c.starts, c.told)
	}
	if e.unstarted || len(e.pending) != 0 {
		t.Errorf("still unstarted: %v, pending %v", e.unstarted, e.pending)
	}
}

// A start whose answer was lost may have brought something else, or nothing.
func TestAWorkflowThatRunsAlreadyIsToldTheAdmission(t *testing.T) {
	c := &clerk{}
	d, e := desk(t, c)
	e.tellLater(job.Event{Kind: job.Admit, Generation: e.Life.Generation, Nodes: 1})
	d.tell(e)
	settle(t, d, e)
	if len(c.told) != 1 || len(c.told[0].Events) != 1 || c.told[0].Events[0].Kind != job.Admit {
		t.Errorf("told %+v", c.told)
	}
}

func TestAStartThatFailedIsRepeatedWithAllThereIs(t *testing.T) {
	c := &clerk{err: errors.New("Temporal is away")}
	d, e := desk(t, c)
	now := origin
	d.Now = func() time.Time { return now }
	e.tellLater(job.Event{Kind: job.Admit, Generation: e.Life.Generation, Nodes: 1})
	d.tell(e)
	settle(t, d, e)
	d.tell(e)
	if len(c.starts) != 1 || e.telling {
		t.Fatal("tried again at once")
	}
	c.err, c.fresh = nil, true
	now = now.Add(tellBackoffMax)
	e.tellLater(job.Event{Kind: job.Cancel})
	d.tell(e)
	settle(t, d, e)
	kinds := []job.Kind{}
	for _, ev := range c.starts[1].First {
		kinds = append(kinds, ev.Kind)
	}
	if !slices.Equal(kinds, []job.Kind{job.Admit, job.Cancel}) || e.unstarted {
		t.Errorf("started with %v, unstarted %v", kinds, e.unstarted)
	}
}

// Two deliveries of one event make one job.
func TestAJobIsTakenInOnce(t *testing.T) {
	d, e := desk(t, &clerk{})
	d.enqueue(newEntry(e.key, e.rec, 1))
	if d.jobs[e.key] != e {
		t.Error("taken in anew")
	}
}

func TestPhasesThatWerePassedAreTold(t *testing.T) {
	for _, c := range []struct {
		before, after job.Phase
		want          []job.Phase
	}{
		{"", job.Validated, nil},
		{"", job.Queued, []job.Phase{job.Validated}},
		{"", job.Admitted, []job.Phase{job.Validated, job.Queued}},
		{"", job.Placed, []job.Phase{job.Validated, job.Queued, job.Admitted}},
		{job.Queued, job.Placed, []job.Phase{job.Admitted}},
		{job.Admitted, job.Placed, nil},
		{"", job.Cancelled, []job.Phase{job.Validated, job.Queued}},
		{job.Queued, job.Admitted, nil},
	} {
		if got := passed(c.before, c.after); !slices.Equal(got, c.want) {
			t.Errorf("from %q to %s: %v, want %v", c.before, c.after, got, c.want)
		}
	}
}

// What is asked of a job before its workflow runs is what that begins with.
func TestAJobIsCancelledBeforeItsWorkflowRuns(t *testing.T) {
	c := &clerk{fresh: true}
	d, e := desk(t, c)
	done := make(chan error, 1)
	go func() { done <- d.Steer(t.Context(), e.key, api.JobCancel) }()
	for len(done) == 0 {
		select {
		case f := <-d.box.In():
			f()
		case err := <-done:
			done <- err
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	settle(t, d, e)
	if len(c.starts) != 1 || len(c.starts[0].First) != 1 || c.starts[0].First[0].Kind != job.Cancel || len(c.told) != 0 {
		t.Errorf("started with %+v, told %+v", c.starts, c.told)
	}
}
