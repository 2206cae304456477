package mixed

import (
	"fmt"
	"time"

	"stoker.dev/stoker/scale/jobs/loan"
	jobsim "stoker.dev/stoker/scale/jobs/simulate"
	"stoker.dev/stoker/scale/simulate"
)

// offerEvery is how often offers are looked at if nothing else happens.
const offerEvery = time.Minute

// Config is what a world is made of.
type Config struct {
	Requests simulate.Config     // its Pool is what inference is guaranteed
	Jobs     jobsim.Config       // its GPUs are those of training; its Borrow is whether there are loans
	Trace    []jobsim.Submission // in the order of submission
}

// World is a fleet.
type World struct {
	share    int
	requests *simulate.World
	jobs     *jobsim.World
	config   jobsim.Config
	trace    []jobsim.Submission // still to come
	taken    []jobsim.Submission
	demand   loan.Demand
	tick     time.Duration // when offers are looked at again
}

// New makes a world. The error is the jobs' simulation's.
func New(c Config) (*World, error) {
	if c.Requests.Pool < 1 {
		return nil, fmt.Errorf("%w: inference is guaranteed %d GPUs; want at least 1", jobsim.ErrJobs, c.Requests.Pool)
	}
	j, err := jobsim.NewWorld(c.Jobs)
	if err != nil {
		return nil, err
	}
	return &World{share: c.Requests.Pool, requests: simulate.New(c.Requests), jobs: j, config: c.Jobs, trace: c.Trace}, nil
}

// Arrive takes a request in, after everything that happens before it. Errors match
// simulate.ErrOrder or are the jobs' simulation's.
func (w *World) Arrive(a simulate.Arrival) error {
	if err := w.advance(a.At); err != nil {
		return err
	}
	if err := w.requests.Arrive(a); err != nil {
		return err
	}
	return w.settle(a.At, false)
}

// Result is what both sides came to.
type Result struct {
	Loans    bool            `json:"loans"`
	Requests simulate.Result `json:"requests"`
	Jobs     jobsim.Result   `json:"jobs"`
	Lent     jobsim.Loans    `json:"lent"`
}

// Finish lets everything end. The fair waits of jobs are those of fifo without loans.
func (w *World) Finish() (Result, error) {
	var r Result
	r.Loans = w.config.Borrow
	w.trace = nil
	for end := w.tick + simulate.DefaultPatience; w.requests.Working() && w.tick < end; {
		if err := w.advance(w.tick); err != nil {
			return r, err
		}
	}
	r.Requests = w.requests.Result()
	w.jobs.Offer(nil)
	for w.jobs.Present() > 0 {
		if err := w.jobs.Plan(); err != nil {
			return r, err
		}
		at, any := w.jobs.Due()
		if !any {
			return r, fmt.Errorf("%w: %d jobs wait for ever", jobsim.ErrPlan, w.jobs.Present())
		}
		w.jobs.Happen(at)
	}
	c := w.config
	c.Policy = "fifo"
	fair, err := jobsim.Run(c, w.taken)
	r.Jobs, r.Lent = jobsim.Summary(w.config, w.jobs.Ended(), fair), w.jobs.Borrowed()
	return r, err
}

// advance lets everything happen that is due until a moment.
func (w *World) advance(to time.Duration) error {
	for {
		at, jobsDue := w.due()
		if at > to {
			return nil
		}
		if w.config.Stop != nil && w.config.Stop() {
			return jobsim.ErrStopped
		}
		if jobsDue {
			w.jobs.Happen(at)
			w.requests.Lend(w.jobs.Lent())
		}
		w.requests.Advance(at)
		for len(w.trace) > 0 && w.trace[0].At <= at {
			w.jobs.Submit(w.trace[0])
			w.taken, w.trace = append(w.taken, w.trace[0]), w.trace[1:]
		}
		if err := w.settle(at, jobsDue); err != nil {
			return err
		}
	}
}

// due is when something happens next, and whether it is to jobs.
func (w *World) due() (at time.Duration, jobs bool) {
	at = w.tick
	jobs = true // a tick is a plan
	sooner := func(t time.Duration, ofJobs bool) {
		if t < at {
			at, jobs = t, ofJobs
		} else if t == at {
			jobs = jobs || ofJobs
		}
	}
	if len(w.trace) > 0 {
		sooner(w.trace[0].At, true)
	}
	if t, any := w.jobs.Due(); any {
		sooner(t, true)
	}
	if t, any := w.requests.Due(); any {
		sooner(t, false)
	}
	return at, jobs
}

// settle sees what inference wants, and has jobs planned if something has happened to them or if more
// is on loan than can be spared.
func (w *World) settle(at time.Duration, plan bool) error {
	wanted := min(w.share, w.requests.Held()+w.requests.Lacks())
	now := jobsim.Moment(at)
	w.demand.See(wanted, now)
	if !plan && (w.jobs.Lent() == 0 || w.jobs.Staying() <= w.demand.Spare(w.share, wanted)) {
		return nil
	}
	if at >= w.tick {
		w.tick = at - at%offerEvery + offerEvery
	}
	w.jobs.Happen(at)
	if w.config.Borrow {
		w.jobs.Offer(w.demand.Offers(w.share, wanted, now))
	}
	if err := w.jobs.Plan(); err != nil {
		return err
	}
	w.requests.Lend(w.jobs.Lent())
	return nil
}
