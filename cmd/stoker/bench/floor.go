package bench

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Names of the floor's workflow; its own task queue keeps it apart from the platform's.
const (
	floorQueue    = "stoker-bench-floor"
	floorWorkflow = "BenchFloor"
	floorActivity = "BenchFloorActivity"
	floorUpdate   = "poke"
	floorUpdates  = 200 // per run of the workflow: it ends well below the server's limit
)

// floor measures an empty Update → activity on a server: how long from the call until the
// activity's first line, n times, one after the other.
func floor(ctx context.Context, c client.Client, n int) ([]time.Duration, error) {
	entered := make(chan time.Time, 1)
	w := worker.New(c, floorQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(poked, workflow.RegisterOptions{Name: floorWorkflow})
	w.RegisterActivityWithOptions(func(context.Context) error { entered <- time.Now(); return nil }, activity.RegisterOptions{Name: floorActivity})
	if err := w.Start(); err != nil {
		return nil, fmt.Errorf("start the floor's worker: %w", err)
	}
	defer w.Stop()
	var out []time.Duration
	for len(out) < n {
		ds, err := floorRun(ctx, c, entered, min(floorUpdates, n-len(out)))
		if err != nil {
			return nil, err
		}
		out = append(out, ds...)
	}
	return out, nil
}

func floorRun(ctx context.Context, c client.Client, entered <-chan time.Time, n int) ([]time.Duration, error) {
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: floorQueue}, floorWorkflow, n)
	if err != nil {
		return nil, fmt.Errorf("start the floor's workflow: %w", err)
	}
	out := make([]time.Duration, n)
	for i := range out {
		begin := time.Now()
		h, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID: run.GetID(), UpdateName: floorUpdate, WaitForStage: client.WorkflowUpdateStageAccepted,
		})
		if err != nil {
			return nil, fmt.Errorf("update the floor's workflow: %w", err)
		}
		out[i] = (<-entered).Sub(begin)
		if err := h.Get(ctx, nil); err != nil {
			return nil, err
		}
	}
	return out, run.Get(ctx, nil)
}

// poked runs one empty activity per update, and ends after n of them.
func poked(ctx workflow.Context, n int) error {
	done := 0
	err := workflow.SetUpdateHandler(ctx, floorUpdate, func(ctx workflow.Context) error {
		defer func() { done++ }()
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		return workflow.ExecuteActivity(ctx, floorActivity).Get(ctx, nil)
	})
	if err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return done >= n })
}
