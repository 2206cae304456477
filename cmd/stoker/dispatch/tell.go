package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/workflows"
)

// tell sends what a workflow does not have yet, one Update at a time for each job, and first of all starts it.
func (d *Dispatcher) tell(e *entry) {
	if e.unbooked {
		return
	}
	if e.unstarted {
		d.start(e)
		return
	}
	if len(e.pending) == 0 && !e.unknown || e.telling || d.telling >= maxTelling || d.Now().Before(e.retryAt) {
		return
	}
	if !e.live() {
		e.pending = nil
		return
	}
	k, t := e.key, workflows.Tell{UID: e.rec.UID, Events: e.next()}
	e.telling = true
	d.telling++
	d.box.Outside(func(ctx context.Context) {
		sending, cancel := context.WithTimeout(ctx, tellTimeout)
		defer cancel()
		st, err := d.Workflows.Tell(sending, k, t)
		d.box.Post(func() { d.told(e, t.Events, st, err) })
	})
}

// next takes as many events as go with one message.
func (e *entry) next() []job.Event {
	n := min(len(e.pending), maxEvents)
	events := slices.Clone(e.pending[:n])
	e.pending = slices.Clone(e.pending[n:])
	return events
}

// start starts the workflow of a job that was accepted, with what was decided about it since.
func (d *Dispatcher) start(e *entry) {
	if !e.live() || e.telling || d.starts >= maxStarting || d.Now().Before(e.retryAt) {
		return
	}
	first := e.next()
	s := e.begun(first)
	e.telling = true
	d.starts++
	d.box.Outside(func(ctx context.Context) {
		starting, cancel := context.WithTimeout(ctx, tellTimeout)
		defer cancel()
		fresh, err := d.Workflows.StartJob(starting, s)
		d.box.Post(func() { d.begun(e, first, fresh, err) })
	})
}

// begun takes in what came of a start.
func (d *Dispatcher) begun(e *entry, first []job.Event, fresh bool, err error) {
	full := d.starts >= maxStarting
	e.telling = false
	d.starts--
	e.unstarted = err != nil && !e.Told
	if !fresh { // or it runs since an earlier try, and has taken in what that brought
		e.pending = append(first, e.pending...)
	}
	if err != nil {
		d.later(e)
		d.Log.Warn("workflow of a job not started, trying again", "job", e.key.String(), "error", err)
	}
	d.tell(e)
	if full {
		d.others()
	}
}

// later is for what did not get through: it is tried again after a while.
func (d *Dispatcher) later(e *entry) {
	e.retryAt = d.Now().Add(min(100*time.Millisecond<<min(e.tries, 8), tellBackoffMax))
	e.tries++
}

// told takes in what came of an Update.
func (d *Dispatcher) told(e *entry, sent []job.Event, st workflows.JobStatus, err error) {
	full := d.telling >= maxTelling
	e.telling = false
	d.telling--
	switch {
	case d.jobs[e.key] != e: // removed meanwhile
	case errors.Is(err, workflows.ErrNotRunning) || errors.Is(err, workflows.ErrStale):
		d.adrift(e, sent)
	case err != nil:
		e.pending = append(sent, e.pending...)
		d.later(e)
		d.Log.Warn("job not told, trying again", "job", e.key.String(), "error", err)
	default:
		if len(st.Refused) > 0 { // what the plan had for it does not happen
			e.planned = planned{}
		}
		for _, why := range st.Refused {
			d.Log.Warn("the job takes no such event", "job", e.key.String(), "why", why)
		}
		e.tries, e.retryAt = 0, time.Time{}
		d.take(e, st)
		d.look(e)
	}
	if full {
		d.others()
	}
}

// others lets those have their turn that waited for room.
func (d *Dispatcher) others() {
	for _, e := range d.jobs {
		d.tell(e)
	}
}

// adrift is for a job whose workflow is not there: it has ended, which its status says, or its history
// was lost, and then it is started again from what is stored.
func (d *Dispatcher) adrift(e *entry, sent []job.Event) {
	e.telling = true
	d.telling++
	s := e.begun(nil)
	d.box.Outside(func(ctx context.Context) {
		st, err := d.Workflows.JobStatus(ctx, e.key, e.rec.UID)
		over := err == nil && st.UID == e.rec.UID && st.Life.Phase.Terminal()
		if err == nil && !over || errors.Is(err, workflows.ErrNotRunning) {
			_, err = d.Workflows.StartJob(ctx, s)
		}
		d.box.Post(func() {
			e.telling = false
			d.telling--
			switch {
			case over:
				d.take(e, st)
			case err != nil && ctx.Err() == nil:
				d.Log.Warn("workflow of a job not found and not started", "job", e.key.String(), "error", err)
				fallthrough
			default:
				e.pending = append(sent, e.pending...)
				e.retryAt = d.Now().Add(tellBackoffMax)
			}
		})
	})
}

// JobChanged implements [activities.Newsroom]: a step in the life of a job, told by its workflow. It is announced before
// that is stored, so that a kill in between has it announced again and not left out.
func (d *Dispatcher) JobChanged(ctx context.Context, n activities.JobNews) error {
	var before job.State
	var e *entry
	err := d.box.Call(ctx, func() {
		e = d.jobs[n.Key]
		if e == nil || e.rec.UID != n.UID {
			e = nil
			return
		}
		before = e.Said
		e.placed.On, e.resumed, e.trouble = n.On, n.Resumed, n.Trouble
		d.update(e, n.State, n.Seq)
		d.look(e)
	})
	if err != nil || e == nil {
		return err
	}
	if err := d.announce(ctx, e, before, n.State); err != nil {
		return err
	}
	var stored Stored
	var rev uint64
	err = d.box.Call(ctx, func() {
		e.Said = job.State{Phase: n.State.Phase, Cause: n.State.Cause, Generation: n.State.Generation, Saved: n.State.Saved}
		stored, rev = e.Stored, e.rev
		// The loop goes on with its own while these are written.
		stored.Attempts, stored.Progress.Losses = slices.Clone(e.Attempts), slices.Clone(e.Progress.Losses)
	})
	if err != nil {
		return err
	}
	rev, err = events.Replace(ctx, d.State, events.StateKey(n.Key), stored, rev)
	if err != nil {
		return err
	}
	return d.box.Call(ctx, func() { e.rev = rev })
}

// look follows up on a step: what is known of the ranks may have waited for it.
func (d *Dispatcher) look(e *entry) {
	for n, r := range e.ranks {
		e.conclude(n, r, d.Now())
	}
	d.tell(e)
}

// jobEvent is the data of a lifecycle event.
type jobEvent struct {
	UID        string    `json:"uid"`
	Phase      job.Phase `json:"phase"`
	Cause      job.Cause `json:"cause"`
	Generation uint64    `json:"generation"`
	Attempt    int       `json:"attempt,omitempty"`
	Nodes      int       `json:"nodes,omitempty"`
	Step       int64     `json:"step,omitempty"`
	Checkpoint string    `json:"checkpoint,omitempty"`
	Class      job.Class `json:"class,omitempty"`
	Hint       string    `json:"hint,omitempty"`
	Evidence   []string  `json:"evidence,omitempty"`
	KillAt     time.Time `json:"killAt,omitzero"`
	USD        float64   `json:"usd,omitempty"`    // budget-near: that it has cost
	MaxUSD     float64   `json:"maxUSD,omitempty"` // budget-near: that it may cost
}

// announce publishes a step: its phase, and a checkpoint where that is what is new.
func (d *Dispatcher) announce(ctx context.Context, e *entry, before, after job.State) error {
	data := jobEvent{
		UID: e.rec.UID, Phase: after.Phase, Cause: after.Cause, Generation: after.Generation, Attempt: after.Attempts,
		Step: after.Last.Step, Class: after.Last.Class, Hint: after.Last.Hint, Evidence: after.Last.Evidence,
	}
	if g := after.Gang; g != nil {
		data.Nodes, data.Step, data.KillAt = g.Nodes, g.Step, g.Ask.KillAt
		data.Class, data.Hint, data.Evidence = "", "", nil
	}
	if after.Saved != before.Saved {
		saved := data
		saved.Step, saved.Checkpoint = after.Saved.Step, after.Saved.Path
		if err := d.Bus.Emit(ctx, e.key, "job", "checkpointed", saved); err != nil {
			return err
		}
	}
	for _, p := range passed(before.Phase, after.Phase) {
		through := jobEvent{UID: e.rec.UID, Phase: p, Cause: job.CauseSubmitted, Generation: after.Generation}
		if p == job.Admitted {
			through.Cause, through.Nodes = job.CauseAdmitted, data.Nodes
		}
		if err := d.Bus.Emit(ctx, e.key, "job", string(p), through); err != nil {
			return err
		}
	}
	if after.Phase == before.Phase && after.Generation == before.Generation && after.Cause == before.Cause {
		return nil
	}
	if err := d.Bus.Emit(ctx, e.key, "job", string(after.Phase), data); err != nil {
		return err
	}
	d.notify(e, happened(before, after), data)
	return nil
}

// emit tells of a job beside the loop, which waits for nobody. What cannot be told is seen in the job itself.
func (d *Dispatcher) emit(e *entry, what string, data any) {
	d.box.Outside(func(ctx context.Context) {
		if err := d.Bus.Emit(ctx, e.key, "job", what, data); err != nil && ctx.Err() == nil {
			d.Log.Warn("an event of a job is not told", "job", e.key.String(), "event", what, "error", err)
		}
	})
}

// passed are the phases that a workflow does not tell of, since it is through them at once.
func passed(before, after job.Phase) (through []job.Phase) {
	if before == "" && after != job.Validated {
		through = append(through, job.Validated)
		if after != job.Queued {
			through = append(through, job.Queued)
		}
	}
	if after == job.Placed && before != job.Admitted && before != job.Placed {
		through = append(through, job.Admitted)
	}
	return through
}
