package simulate

import (
	"errors"
	"fmt"
	"time"

	"stoker.dev/stoker/scale/jobs"
)

// Submission is one job of a trace.
type Submission struct {
	ID, User, Name string
	GPUs           int
	At             time.Duration // since the trace's zero
	Duration       time.Duration // that it runs, on all its GPUs
}

// Config is what is simulated.
type Config struct {
	GPUs     int
	Overhead time.Duration // time on its GPUs that a preemption costs a job
	Policy   string
	Stop     func() bool // asked again and again; true ends the run; nil: never
}

var (
	// ErrJobs is returned for submissions that cannot be simulated.
	ErrJobs = errors.New("bad jobs")
	// ErrPlan is returned for a plan that cannot be carried out, which is a mistake of the policy.
	ErrPlan = errors.New("plan cannot be carried out")
	// ErrStopped is returned when Stop said so.
	ErrStopped = errors.New("stopped")
)

// epoch is the trace's zero, since plans speak of moments. Any would do.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Outcome is a job that has ended.
type Outcome struct {
	Submission
	End         time.Duration // since the trace's zero
	Wait        time.Duration // without GPUs
	Preemptions int
}

// JCT is the job completion time.
func (o Outcome) JCT() time.Duration { return o.End - o.At }

// world is a pool and its jobs. The jobs of the snapshot are in the order of submission, and each
// has its place in the slices beside it.
type world struct {
	overhead time.Duration
	plan     func(jobs.Snapshot) jobs.Plan
	history  jobs.History
	snapshot jobs.Snapshot
	from     []Submission
	left     []time.Duration // to run, when the attempt that runs began, or the next begins
	free     int
	next     time.Time // the policy's own
	ended    []Outcome
}

// Run simulates all jobs until they have ended, and returns them in the order of their ends.
// Submissions are in the order of their times. Errors match ErrJobs, ErrPlan, ErrStopped
// or jobs.ErrPolicy.
func Run(c Config, trace []Submission) ([]Outcome, error) {
	if err := check(c, trace); err != nil {
		return nil, err
	}
	w := &world{overhead: c.Overhead, free: c.GPUs, snapshot: jobs.Snapshot{GPUs: c.GPUs}}
	var err error
	if w.plan, err = w.policy(c.Policy); err != nil {
		return nil, err
	}
	for len(trace) > 0 || len(w.from) > 0 {
		if c.Stop != nil && c.Stop() {
			return nil, ErrStopped
		}
		now, any := w.soonest(trace)
		if !any {
			return nil, fmt.Errorf("%w: %s leaves %d jobs waiting for ever", ErrPlan, c.Policy, len(w.from))
		}
		w.snapshot.Now = now
		w.end()
		for len(trace) > 0 && !epoch.Add(trace[0].At).After(now) {
			w.submit(trace[0])
			trace = trace[1:]
		}
		if err := w.apply(w.plan(w.snapshot)); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Policy, err)
		}
	}
	return w.ended, nil
}

func check(c Config, trace []Submission) error {
	if c.GPUs < 1 || c.Overhead < 0 {
		return fmt.Errorf("%w: %d GPUs, overhead %v; want at least 1, and 0 or more", ErrJobs, c.GPUs, c.Overhead)
	}
	last := time.Duration(0)
	for _, s := range trace {
		switch {
		case s.GPUs < 1 || s.GPUs > c.GPUs:
			return fmt.Errorf("%w: job %s asks for %d GPUs and there are %d", ErrJobs, s.ID, s.GPUs, c.GPUs)
		case s.At < last || s.Duration < 0:
			return fmt.Errorf("%w: job %s comes at %v after %v and runs for %v", ErrJobs, s.ID, s.At, last, s.Duration)
		}
		last = s.At
	}
	return nil
}

// soonest is when something happens next.
func (w *world) soonest(trace []Submission) (at time.Time, any bool) {
	sooner := func(t time.Time) {
		if !any || t.Before(at) {
			at, any = t, true
		}
	}
	if len(trace) > 0 {
		sooner(epoch.Add(trace[0].At))
	}
	for i := range w.snapshot.Jobs {
		if j := &w.snapshot.Jobs[i]; j.Running() {
			sooner(j.Started.Add(w.left[i]))
		}
	}
	if w.next.After(w.snapshot.Now) {
		sooner(w.next)
	}
	return at, any
}

func (w *world) submit(s Submission) {
	w.snapshot.Jobs = append(w.snapshot.Jobs, jobs.Job{
		ID: s.ID, User: s.User, Name: s.Name, GPUs: s.GPUs, Submitted: epoch.Add(s.At), Preemptible: true, Loss: w.overhead,
	})
	w.from, w.left = append(w.from, s), append(w.left, s.Duration)
}

// end takes out the jobs that are done.
func (w *world) end() {
	now, kept := w.snapshot.Now, 0
	for i, j := range w.snapshot.Jobs {
		if j.Running() && !j.Started.Add(w.left[i]).After(now) {
			w.free += j.GPUs
			w.ended = append(w.ended, Outcome{Submission: w.from[i], End: now.Sub(epoch), Wait: j.Waited(now), Preemptions: j.Preemptions})
			w.history.Learn(j, now)
			continue
		}
		w.snapshot.Jobs[kept], w.from[kept], w.left[kept] = j, w.from[i], w.left[i]
		kept++
	}
	w.snapshot.Jobs, w.from, w.left = w.snapshot.Jobs[:kept], w.from[:kept], w.left[:kept]
}

// apply carries out a plan, and holds every policy to never holding more GPUs than there are.
func (w *world) apply(p jobs.Plan) error {
	now := w.snapshot.Now
	for _, s := range p.Steps {
		j := &w.snapshot.Jobs[s.Index]
		if j.Running() != (s.Action == jobs.Preempt) {
			return fmt.Errorf("%w: %s %s, which is running: %t", ErrPlan, s.Action, j.ID, j.Running())
		}
		if s.Action == jobs.Preempt {
			w.left[s.Index] += w.overhead - j.Ran(now)
			j.Attained, j.Started = j.Service(now), time.Time{}
			j.Preemptions++
			w.free += j.GPUs
			continue
		}
		j.Started = now
		if w.free -= j.GPUs; w.free < 0 {
			return fmt.Errorf("%w: %s needs %d GPUs more than there are", ErrPlan, j.ID, -w.free)
		}
	}
	w.next = p.Next
	return nil
}
