package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/activities"
)

// Function is the entity workflow of one function. It ends when the function is deleted and
// nothing of it is left.
func Function(ctx workflow.Context, state State) error {
	f := &function{State: state}
	if err := f.setup(ctx); err != nil {
		return err
	}
	return f.run(ctx)
}

// function is a run of the workflow: the carried state and what belongs to the run only.
type function struct {
	State
	asked   int    // syncs accepted
	settled int    // syncs whose step is done
	answer  Status // how the step of the newest settled sync ended
	acts    *activities.Activities
	shown   shown
}

func (f *function) setup(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (Status, error) { return f.status(), nil },
		workflow.QueryHandlerOptions{Description: "replicas, newest decision, what blocks it"})
	if err != nil {
		return fmt.Errorf("set the query handler: %w", err)
	}
	err = workflow.SetUpdateHandlerWithOptions(ctx, UpdateSync, f.sync, workflow.UpdateHandlerOptions{
		Validator:   f.validate,
		Description: "the newest decision and what was observed; answers once it is carried out",
	})
	if err != nil {
		return fmt.Errorf("set the sync handler: %w", err)
	}
	return nil
}

// validate refuses what is outdated before it reaches the history.
func (f *function) validate(in Sync) error {
	switch {
	case f.Key.Name != "" && in.Key != f.Key:
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("sync is for %s, this is %s", in.Key, f.Key), typeStale, nil)
	case in.Decision.Epoch < f.Decision.Epoch:
		return temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("decision %d is older than %d, which was accepted already", in.Decision.Epoch, f.Decision.Epoch), typeStale, nil)
	}
	return nil
}

// sync takes a decision and waits for the step that makes it true.
func (f *function) sync(ctx workflow.Context, in Sync) (Status, error) {
	f.accept(in)
	f.asked++
	mine := f.asked
	if err := workflow.Await(ctx, func() bool { return f.settled >= mine }); err != nil {
		return Status{}, err
	}
	return f.answer, nil
}

// run makes one step per sync or per grace that ends, until the function is deleted or the
// history is long enough to start over.
func (f *function) run(ctx workflow.Context) error {
	for {
		if err := f.await(ctx); err != nil {
			return err
		}
		f.settle(ctx)
		if f.Closing && f.idle() {
			return f.finish(ctx)
		}
		if f.full(ctx) {
			return f.continueAsNew(ctx)
		}
	}
}

// settle makes a step and keeps how it ended for the syncs that were accepted before it: the
// next step may begin before their handlers run.
func (f *function) settle(ctx workflow.Context) {
	mine := f.asked
	f.step(ctx)
	if mine > f.settled {
		f.settled, f.answer = mine, f.status()
	}
}

// await blocks until there is something to do: a sync, or a replica past its grace.
func (f *function) await(ctx workflow.Context) error {
	work := func() bool { return f.asked > f.settled }
	late, next := f.overdue(workflow.Now(ctx))
	switch {
	case len(late) > 0:
		return nil
	case next.IsZero():
		return workflow.Await(ctx, work)
	}
	waiting, cancel := workflow.WithCancel(ctx)
	defer cancel() // a timer that is not needed any more would wake the workflow for nothing
	grace := workflow.NewTimerWithOptions(waiting, next.Sub(workflow.Now(ctx)), workflow.TimerOptions{Summary: "grace of a draining replica"})
	return workflow.Await(ctx, func() bool { return work() || grace.IsReady() })
}

func (f *function) full(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return f.asked == f.settled && (info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > maxRunEvents)
}

// finish waits for the handlers, so that no caller is left without its answer.
func (f *function) finish(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// continueAsNew starts over with the state as it is. A sync that arrives while the handlers
// finish is carried out first: its step belongs to this run.
func (f *function) continueAsNew(ctx workflow.Context) error {
	if err := f.finish(ctx); err != nil {
		return err
	}
	for f.asked > f.settled {
		f.settle(ctx)
		if err := f.finish(ctx); err != nil {
			return err
		}
	}
	f.Runs++
	return workflow.NewContinueAsNewError(ctx, FunctionWorkflow, f.State)
}

// killAt is when a replica that drains from now on is killed.
func (f *function) killAt(now time.Time) time.Time {
	return now.Add(f.Deploy.Spec.Runtime.Drain.Grace.D() + killMargin)
}
