package dispatch

import (
	"slices"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/jobs"
)

// window is the stretch of an attempt over which its speed is being measured.
type window struct {
	generation uint64
	from       time.Time // when step was first seen
	step       int64
	seen       int64 // the furthest since
}

// measure takes in how far the gang is. Speeds are told from the moments at which a further step was
// heard of, by this clock: those of agents may disagree.
func (e *entry) measure(step int64, now time.Time) {
	g, w := e.Life.Gang, &e.window
	switch {
	case g == nil || !e.Life.Phase.Trains() || step == 0:
		return
	case w.generation != e.Life.Generation:
		*w = window{generation: e.Life.Generation, from: now, step: step, seen: step}
		return
	case step <= w.seen:
		return
	}
	w.seen = step
	if took := now.Sub(w.from); took >= jobs.LeastMeasured {
		e.Scaling.Learn(g.Nodes, float64(step-w.step), took)
		w.from, w.step = now, step
	}
}

// foresee notes with which step the job will be done, by a report of a rank and the one before: by the share of the
// work that is done, or else by the time that the program expects. That time is of this very gang, so it counts in
// steps of its speed.
func (e *entry) foresee(before, said events.Rank) {
	g := e.Life.Gang
	switch {
	case said.Percent > 0:
		if said.Percent != before.Percent { // or it is an earlier step's
			e.Ends = float64(said.Step) * done / said.Percent
		}
	case g != nil:
		if rate, basis := e.Scaling.Rate(g.Nodes); basis == jobs.Measured {
			e.Ends = float64(said.Step) + said.ETASec*rate
		}
	}
}

// left is how many steps are still to be trained; 0: not known.
func (e *entry) left() float64 { return max(0, e.Ends-float64(e.at())) }

// at is the step that the job is at: its gang's, or the one that its next gang begins with.
func (e *entry) at() int64 {
	switch p := e.Progress; {
	case e.Life.Gang != nil && p.Generation == e.Life.Generation:
		return p.Step
	case e.rec.Job.Spec.Checkpoint.Resume == functions.ResumeNever:
		return 0
	default:
		return e.Life.Saved.Step
	}
}

// restart is the time on its GPUs that a change of size costs the job beside the work that is not
// committed: as its newest attempts took to start and to leave.
func (e *entry) restart() time.Duration {
	var start, leave time.Duration
	for i := len(e.Attempts) - 1; i >= 0; i-- {
		a := e.Attempts[i]
		if a.Started.IsZero() {
			continue
		}
		if start == 0 {
			start = a.Started.Sub(a.Placed)
		}
		if leave == 0 && !a.Noticed.IsZero() && !a.Released.IsZero() {
			leave = a.Released.Sub(a.Noticed)
		}
	}
	if start <= 0 || leave <= 0 {
		return restart
	}
	return start + leave
}

// sizes are the numbers of nodes that a job may have here: one with a goal alone, as many as there are.
func (d *Dispatcher) sizes(spec functions.JobSpec) []int {
	sizes := spec.Sizes()
	if spec.Elastic != (functions.Elastic{}) || spec.Goal == (functions.Goal{}) {
		return sizes
	}
	return sizes[:max(1, min(len(sizes), largest(d.Ledger.Newest(), spec)))]
}

// aim has a job sized by its goal, if it has one.
func (d *Dispatcher) aim(e *entry, j *jobs.Job, now time.Time) {
	spec := e.rec.Job.Spec
	if spec.Goal == (functions.Goal{}) {
		return
	}
	if sizes := d.sizes(spec); len(sizes) > 1 {
		j.Sizes = sizes
	}
	left := e.left()
	if !j.Leaving { // one that leaves was sized a moment ago
		w := jobs.Wish{
			Sizes: d.sizes(spec), Left: left, By: spec.Goal.By(e.Life.Submitted), Pace: spec.Goal.StepsPerSecond.Float(),
			Restart: e.restart(), Afford: d.affords(e, now),
		}
		if j.Running() {
			w.Now = j.Ranks
		}
		e.choice = e.Scaling.Choose(w, now)
		d.announceChoice(e, now)
	}
	j.Wish = e.choice.Ranks
	if rate, _ := e.Scaling.Rate(j.Ranks); rate > 0 && left > 0 {
		j.Rest = time.Duration(min(left/rate, functions.MaxJobSpan.Seconds()) * float64(time.Second))
	}
}

// goalEvent is the data of the lifecycle event "goal": another size was chosen, or whether the goal will be
// reached has changed.
type goalEvent struct {
	UID string `json:"uid"`
	api.Goal
}

// announceChoice tells of a choice that differs from the last one that was told of. Close to the edge what is
// expected changes with every step, so it is told no more often than speeds are measured.
func (d *Dispatcher) announceChoice(e *entry, now time.Time) {
	told, c := e.toldChoice, e.choice
	if c.Reason == jobs.ChoiceUnmeasured || told.Ranks == c.Ranks && told.Reason.Misses() == c.Reason.Misses() || now.Sub(e.toldAt) < jobs.LeastMeasured {
		return
	}
	e.toldChoice, e.toldAt = c, now
	data := goalEvent{e.UID, *d.goalView(e, now)}
	d.Log.Info("sized by its goal", "job", e.key.String(), "nodes", c.Ranks, "reason", c.Reason, "basis", c.Basis, "done", c.Done)
	d.emit(e, "goal", data)
}

// goalView is what people see of a goal; nil for a job without one.
func (d *Dispatcher) goalView(e *entry, now time.Time) *api.Goal {
	spec := e.rec.Job.Spec
	if spec.Goal == (functions.Goal{}) {
		return nil
	}
	c := e.choice
	return &api.Goal{
		By: spec.Goal.By(e.Life.Submitted), StepsPerSecond: spec.Goal.StepsPerSecond.Float(), MaxUSD: spec.Goal.MaxCost.Float(),
		USD: e.time(now).USD, Nodes: c.Ranks, Reason: c.Reason, Meaning: c.Reason.Meaning(), Basis: c.Basis, Done: c.Done,
		Misses: c.Reason.Misses(), Speeds: slices.Clone(e.Scaling.Speeds),
	}
}
