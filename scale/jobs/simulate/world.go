package simulate

import (
	"errors"
	"fmt"
	"time"

	"stoker.dev/stoker/functions"
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
	Drain    time.Duration // from being told to go until its GPUs are free, in which it does nothing more
	Borrow   bool          // jobs may borrow, if anybody lends
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

// World is a pool and its jobs, and goes from one moment to a later one.
type World struct {
	config   Config
	plan     func(jobs.Snapshot) jobs.Plan
	history  jobs.History
	snapshot jobs.Snapshot // its jobs have their places in the slices below, in the order of submission
	from     []Submission
	left     []time.Duration // to run, when the attempt that runs began, or the next begins
	leaves   []time.Time     // when the GPUs of a leaving job are free
	free     int             // by right
	lent     int             // GPUs on loan
	next     time.Time       // the policy's own
	ended    []Outcome
	loans    Loans
}

// Loans are what came of loans.
type Loans struct {
	Loans      int     `json:"loans"`
	Recalls    int     `json:"recalls"`
	GPUSeconds float64 `json:"gpu_seconds_lent"`
}

// NewWorld is a pool without jobs. Errors match ErrJobs or jobs.ErrPolicy.
func NewWorld(c Config) (*World, error) {
	if c.GPUs < 1 || c.Overhead < 0 || c.Drain < 0 {
		return nil, fmt.Errorf("%w: %d GPUs, overhead %v, drain %v; want at least 1, and 0 or more", ErrJobs, c.GPUs, c.Overhead, c.Drain)
	}
	w := &World{config: c, free: c.GPUs, snapshot: jobs.Snapshot{GPUs: c.GPUs}}
	var err error
	w.plan, err = w.policy(c.Policy)
	return w, err
}

// Run simulates all jobs until they have ended, and returns them in the order of their ends.
// Submissions are in the order of their times. Errors match ErrJobs, ErrPlan, ErrStopped
// or jobs.ErrPolicy.
func Run(c Config, trace []Submission) ([]Outcome, error) {
	w, err := NewWorld(c)
	if err := errors.Join(err, Check(c, trace)); err != nil {
		return nil, err
	}
	for len(trace) > 0 || len(w.from) > 0 {
		if c.Stop != nil && c.Stop() {
			return nil, ErrStopped
		}
		at, any := w.Due()
		if len(trace) > 0 && (!any || trace[0].At < at) {
			at, any = trace[0].At, true
		}
		if !any {
			return nil, fmt.Errorf("%w: %s leaves %d jobs waiting for ever", ErrPlan, c.Policy, len(w.from))
		}
		w.Happen(at)
		for len(trace) > 0 && trace[0].At <= at {
			w.Submit(trace[0])
			trace = trace[1:]
		}
		if err := w.Plan(); err != nil {
			return nil, err
		}
	}
	return w.ended, nil
}

// Check tells whether jobs can be simulated on so many GPUs. The error is ErrJobs.
func Check(c Config, trace []Submission) error {
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

// Due is when something happens next if no job comes; false: nothing does.
func (w *World) Due() (at time.Duration, any bool) {
	var next soonest
	for i := range w.snapshot.Jobs {
		switch j := &w.snapshot.Jobs[i]; {
		case j.Leaving:
			next.at(w.leaves[i])
		case j.Running():
			next.at(j.Started.Add(w.left[i]))
		}
	}
	if w.next.After(w.snapshot.Now) {
		next.at(w.next)
	}
	return next.Sub(epoch), !next.IsZero()
}

// soonest is the earliest of some moments; zero: there is none.
type soonest struct{ time.Time }

func (n *soonest) at(t time.Time) {
	if n.IsZero() || t.Before(n.Time) {
		n.Time = t
	}
}

// Submit takes a job in.
func (w *World) Submit(s Submission) {
	j := jobs.Job{
		ID: s.ID, User: s.User, Name: s.Name, GPUs: s.GPUs, Submitted: epoch.Add(s.At), Preemptible: true,
		Loss: w.config.Overhead + w.config.Drain, Drain: w.config.Drain, GiveBack: w.config.Drain,
	}
	if w.config.Borrow {
		j.Borrow = functions.UseAllowed
	}
	w.snapshot.Jobs = append(w.snapshot.Jobs, j)
	w.from, w.left, w.leaves = append(w.from, s), append(w.left, s.Duration), append(w.leaves, time.Time{})
}

// Happen goes to a moment: jobs end that are done, and those are gone that leave.
func (w *World) Happen(at time.Duration) {
	now, kept := epoch.Add(at), 0
	w.loans.GPUSeconds += float64(w.lent) * now.Sub(w.now()).Seconds()
	w.snapshot.Now = now
	for i, j := range w.snapshot.Jobs {
		switch {
		case j.Leaving && !w.leaves[i].After(now):
			w.vacate(&j)
		case j.Running() && !j.Leaving && !j.Started.Add(w.left[i]).After(now):
			w.ended = append(w.ended, Outcome{Submission: w.from[i], End: at, Wait: j.Waited(now), Preemptions: j.Preemptions})
			w.history.Learn(j, now)
			w.vacate(&j)
			continue
		}
		w.snapshot.Jobs[kept], w.from[kept], w.left[kept], w.leaves[kept] = j, w.from[i], w.left[i], w.leaves[i]
		kept++
	}
	w.snapshot.Jobs, w.from, w.left, w.leaves = w.snapshot.Jobs[:kept], w.from[:kept], w.left[:kept], w.leaves[:kept]
}

// now is the moment the world is at, its zero before the first.
func (w *World) now() time.Time {
	if w.snapshot.Now.IsZero() {
		return epoch
	}
	return w.snapshot.Now
}

// vacate has a job give back what it holds.
func (w *World) vacate(j *jobs.Job) {
	w.free += j.GPUs - j.Lent
	w.lent -= j.Lent
	j.Attained, j.Started, j.Leaving, j.Lent, j.LentUntil = j.Service(w.snapshot.Now), time.Time{}, false, 0, time.Time{}
}

// Plan asks the policy and does what it says. The error is ErrPlan.
func (w *World) Plan() error {
	if err := w.apply(w.plan(w.snapshot)); err != nil {
		return fmt.Errorf("%s: %w", w.config.Policy, err)
	}
	return nil
}

// apply carries out a plan, and holds every policy to never holding more GPUs than there are.
func (w *World) apply(p jobs.Plan) error {
	w.next = p.Next
	for _, s := range p.Steps {
		j := &w.snapshot.Jobs[s.Index]
		switch s.Action {
		case jobs.Preempt, jobs.Recall, jobs.Resize:
			if !j.Running() || j.Leaving || s.Action == jobs.Resize {
				return fmt.Errorf("%w: %s %s, running: %t", ErrPlan, s.Action, j.ID, j.Running())
			}
			w.stop(s, j)
		case jobs.Admit:
			if j.Running() {
				return fmt.Errorf("%w: admit %s, which runs", ErrPlan, j.ID)
			}
			if s.Later && w.config.Drain > 0 {
				continue
			}
			j.Started, j.Lent, j.LentUntil = w.snapshot.Now, s.Lent, s.Until
			w.lent += s.Lent
			w.loans.Loans += min(1, s.Lent)
			if w.free -= j.GPUs - s.Lent; w.free < 0 {
				return fmt.Errorf("%w: %s needs %d GPUs more than there are", ErrPlan, j.ID, -w.free)
			}
		case jobs.Extend:
			j.LentUntil = s.Until
		case jobs.Redeem:
			w.lent -= j.Lent
			w.free -= j.Lent
			j.Lent, j.LentUntil = 0, time.Time{}
		}
	}
	return nil
}

// stop tells a job to go.
func (w *World) stop(s jobs.Step, j *jobs.Job) {
	now := w.snapshot.Now
	w.left[s.Index] += w.config.Overhead - j.Ran(now)
	j.Preemptions++
	if s.Action == jobs.Recall {
		w.loans.Recalls++
	}
	j.Leaving, w.leaves[s.Index] = true, now.Add(w.config.Drain)
	if w.config.Drain == 0 {
		w.vacate(j)
	}
}

// Borrowed is what loans have come to.
func (w *World) Borrowed() Loans { return w.loans }

// Lent is how many GPUs are on loan, also to jobs that leave.
func (w *World) Lent() int { return w.lent }

// Staying is how many GPUs are on loan to jobs that were not told to leave.
func (w *World) Staying() (gpus int) {
	for i := range w.snapshot.Jobs {
		if j := &w.snapshot.Jobs[i]; !j.Leaving {
			gpus += j.Lent
		}
	}
	return gpus
}

// Offer says what may be borrowed from the next plan on, until durations since the trace's zero.
func (w *World) Offer(offers []jobs.Offer) { w.snapshot.Lender.Offers = offers }

// Moment is a duration since the trace's zero, as plans speak of it.
func Moment(at time.Duration) time.Time { return epoch.Add(at) }

// Ended are the jobs that have ended, in the order of their ends.
func (w *World) Ended() []Outcome { return w.ended }

// Present is how many jobs wait or hold GPUs.
func (w *World) Present() int { return len(w.from) }
