package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/workflows"
)

// restore reads what was submitted, and how far it was when that was last told. What the workflows
// have done since is asked once the loop runs, which they tell their news to.
func (d *Dispatcher) restore(ctx context.Context) error {
	if err := d.takeBack(ctx); err != nil {
		return err
	}
	submitted, err := d.Records.List(ctx)
	if err != nil {
		return fmt.Errorf("list the submitted jobs: %w", err)
	}
	if err := d.planner.restore(ctx, d.Learned, &d.planner.learned); err != nil {
		return err
	}
	if err := d.loans.restore(ctx, d.Learned, &d.loans.Book); err != nil {
		return err
	}
	d.Spending.Lend(d.loans.byOwner())
	for _, x := range submitted {
		e, err := d.restoreOne(ctx, x)
		if err != nil {
			return err
		}
		if e.rec.Deleting {
			if err := d.erase(ctx, e.rec, e.recRev, e.rev); err != nil {
				return err
			}
			continue
		}
		d.jobs[e.key] = e
	}
	return nil
}

func (d *Dispatcher) restoreOne(ctx context.Context, x events.Entry[events.JobRecord]) (*entry, error) {
	k, err := events.ParseStateKey(x.Key)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", events.BucketJobs, err)
	}
	e := newEntry(k, x.Value, x.Rev)
	stored, rev, err := d.State.Get(ctx, x.Key)
	if err != nil && !errors.Is(err, events.ErrNotFound) {
		return nil, fmt.Errorf("read the state of job %s: %w", k, err)
	}
	e.rev = rev
	if stored.UID == e.rec.UID { // otherwise it is what an earlier job of the name has left
		e.Stored = stored
		if e.Said.Phase == "" { // written before it was kept
			e.Said = e.Life
		}
	}
	e.unknown = e.live()
	return e, nil
}

// begun is the state that the workflow of a job begins with: that of a new job, to which first has happened, or
// what is stored of one whose history was lost.
func (e *entry) begun(first []job.Event) workflows.JobState {
	s := workflows.JobState{Key: e.key, UID: e.rec.UID, Spec: workflows.JobOutline(e.rec.Job.Spec), First: first}
	if e.Told {
		s.Life, s.Seq, s.Todo = e.Life, e.seq, job.Again(e.Life)
	}
	if g := s.Life.Gang; g != nil {
		s.Placed = workflows.Placed{Generation: s.Life.Generation, Nodes: g.Nodes}
	}
	return s
}

// take takes over what a workflow says of itself.
func (d *Dispatcher) take(e *entry, st workflows.JobStatus) {
	e.placed, e.resumed, e.trouble = st.Placed, st.Resumed, cmp.Or(st.Trouble, st.Short)
	d.update(e, st.Life, st.Seq)
}
