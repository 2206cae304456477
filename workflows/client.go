package workflows

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"stoker.dev/stoker/functions"
)

// Client speaks to the functions' workflows.
type Client struct {
	Temporal client.Client
}

// Sync sends one sync, starting the workflow if it does not run, and returns once its step is
// settled. It returns [ErrStale] if the workflow has accepted a newer decision.
func (c Client) Sync(ctx context.Context, s Sync) (Status, error) {
	st, err := settled(ctx, s, c.update)
	if missing := (*serviceerror.NotFound)(nil); errors.As(err, &missing) {
		return settled(ctx, s, c.updateWithStart)
	}
	return st, err
}

// settled sends a sync and waits for the end of its step.
func settled(ctx context.Context, s Sync, send func(context.Context, Sync) (client.WorkflowUpdateHandle, error)) (Status, error) {
	var st Status
	handle, err := send(ctx, s)
	if err == nil {
		err = handle.Get(ctx, &st)
	}
	if err != nil {
		return Status{}, fmt.Errorf("sync %s: %w", s.Key, refusal(err))
	}
	return st, nil
}

// update is for a workflow that runs, as it nearly always does: it costs the server less than an
// Update-with-Start.
func (c Client) update(ctx context.Context, s Sync) (client.WorkflowUpdateHandle, error) {
	return c.Temporal.UpdateWorkflow(ctx, updateOptions(s))
}

func updateOptions(s Sync) client.UpdateWorkflowOptions {
	return client.UpdateWorkflowOptions{
		WorkflowID: FunctionWorkflowID(s.Key), UpdateName: UpdateSync, Args: []any{s},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	}
}

// lost tells whether a function that has no workflow had one: decisions were made about it before. Its history
// is gone then, and with it whether its queue was open. Closing one that is not changes nothing.
func lost(s Sync) bool { return s.Decision.Epoch > 1 }

// updateWithStart makes the workflow where there is none.
func (c Client) updateWithStart(ctx context.Context, s Sync) (client.WorkflowUpdateHandle, error) {
	start := c.Temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       FunctionWorkflowID(s.Key),
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    SearchAttributes(s.Key.Namespace, s.Key.Name),
		StaticSummary:            "function " + s.Key.String(),
		StaticDetails:            "Carries the replicas of function `" + s.Key.String() + "`. Decisions come as `sync` updates; each carries its reason and inputs.",
	}, FunctionWorkflow, State{Key: s.Key, QueueOpen: lost(s)})
	return c.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start, UpdateOptions: updateOptions(s),
	})
}

// refusal marks the workflow's own refusal, so that it is told from a server out of reach.
func refusal(err error) error {
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == typeStale {
		return fmt.Errorf("%w: %s", ErrStale, app.Message())
	}
	return err
}

// Status asks a running workflow. It returns [ErrNotRunning] if there is none.
func (c Client) Status(ctx context.Context, k functions.Key) (Status, error) {
	v, err := c.Temporal.QueryWorkflow(ctx, FunctionWorkflowID(k), "", QueryStatus)
	if missing := (*serviceerror.NotFound)(nil); errors.As(err, &missing) {
		return Status{}, fmt.Errorf("%w: %s", ErrNotRunning, k)
	}
	if err != nil {
		return Status{}, fmt.Errorf("ask the workflow of %s: %w", k, err)
	}
	var st Status
	if err := v.Get(&st); err != nil {
		return Status{}, fmt.Errorf("read the status of %s: %w", k, err)
	}
	return st, nil
}

// StartJob starts the workflow of a job, and tells whether it did: one that runs is left alone, and has not taken in
// what comes first in s. A worker of this process gets its first task with the answer.
func (c Client) StartJob(ctx context.Context, s JobState) (bool, error) {
	s.Code, s.Listed = JobCode, listedFirst(s)
	_, err := c.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                    JobWorkflowID(s.Key, s.UID),
		TaskQueue:             TaskQueue,
		EnableEagerStart:      true,
		TypedSearchAttributes: s.attributes(),

		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary:                            "job " + s.Key.String(),
		StaticDetails:                            "Carries the training job `" + s.Key.String() + "`, from its submission to its last GPU-second. What happens to it comes as `tell` updates.",
	}, JobWorkflow, s)
	if running := (*serviceerror.WorkflowExecutionAlreadyStarted)(nil); errors.As(err, &running) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("start the workflow of job %s: %w", s.Key, err)
	}
	return true, nil
}

// Tell tells a job's workflow what happened. Errors: [ErrNotRunning], [ErrStale] where another job has
// the name now.
func (c Client) Tell(ctx context.Context, k functions.Key, t Tell) (JobStatus, error) {
	var st JobStatus
	handle, err := c.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: JobWorkflowID(k, t.UID), UpdateName: UpdateTell, Args: []any{t}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, &st)
	}
	if missing := (*serviceerror.NotFound)(nil); errors.As(err, &missing) {
		return JobStatus{}, fmt.Errorf("%w: job %s", ErrNotRunning, k)
	}
	if err != nil {
		return JobStatus{}, fmt.Errorf("tell job %s: %w", k, refusal(err))
	}
	return st, nil
}

// JobStatus asks the workflow of a job, also one that has ended and is still remembered. Error:
// [ErrNotRunning] where nothing is known of it.
func (c Client) JobStatus(ctx context.Context, k functions.Key, uid string) (JobStatus, error) {
	v, err := c.Temporal.QueryWorkflow(ctx, JobWorkflowID(k, uid), "", QueryStatus)
	if missing := (*serviceerror.NotFound)(nil); errors.As(err, &missing) {
		return JobStatus{}, fmt.Errorf("%w: job %s", ErrNotRunning, k)
	}
	if err != nil {
		return JobStatus{}, fmt.Errorf("ask the workflow of job %s: %w", k, err)
	}
	var st JobStatus
	if err := v.Get(&st); err != nil {
		return JobStatus{}, fmt.Errorf("read the status of job %s: %w", k, err)
	}
	return st, nil
}
