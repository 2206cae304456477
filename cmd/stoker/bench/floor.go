package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/cmd/stoker/platform"
)

// Names of the floor's workflow; its own task queue keeps it apart from the platform's.
const (
	floorQueue    = "stoker-bench-floor"
	floorWorkflow = "BenchFloor"
	floorActivity = "BenchFloorActivity"
	floorUpdate   = "poke"
	floorUpdates  = 200 // per run of the workflow: it ends well below the server's limit
)

// floors are what an empty Update -> activity takes on a server: how long from the call until the
// activity's first line.
type floors struct {
	single []time.Duration // one after the other
	atOnce []time.Duration // as many workflows at once as functions woke
}

// measureFloor pokes one workflow n times, and atOnce workflows together, rounds times.
func measureFloor(ctx context.Context, c client.Client, n, atOnce, rounds int) (floors, error) {
	w := worker.New(c, floorQueue, worker.Options{
		MaxConcurrentWorkflowTaskPollers: platform.WorkflowPollers, MaxConcurrentActivityTaskPollers: platform.ActivityPollers,
	})
	entered := &entries{at: map[string]chan time.Time{}}
	w.RegisterWorkflowWithOptions(poked, workflow.RegisterOptions{Name: floorWorkflow})
	w.RegisterActivityWithOptions(entered.enter, activity.RegisterOptions{Name: floorActivity})
	if err := w.Start(); err != nil {
		return floors{}, fmt.Errorf("start the floor's worker: %w", err)
	}
	defer w.Stop()
	var out floors
	for len(out.single) < n {
		ds, err := pokeRun(ctx, c, entered, "bench-floor", min(floorUpdates, n-len(out.single)))
		if err != nil {
			return floors{}, err
		}
		out.single = append(out.single, ds...)
	}
	if atOnce < 2 {
		return out, nil
	}
	var err error
	out.atOnce, err = pokeAtOnce(ctx, c, entered, atOnce, rounds)
	return out, err
}

// entries hands the time of an activity's first line to who poked its workflow.
type entries struct {
	mu sync.Mutex
	at map[string]chan time.Time
}

func (e *entries) of(id string) chan time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at[id] == nil {
		e.at[id] = make(chan time.Time, 1)
	}
	return e.at[id]
}

func (e *entries) enter(ctx context.Context) error {
	now := time.Now()
	e.of(activity.GetInfo(ctx).WorkflowExecution.ID) <- now
	return nil
}

// pokeRun pokes a workflow of its own n times, one after the other.
func pokeRun(ctx context.Context, c client.Client, e *entries, id string, n int) ([]time.Duration, error) {
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: floorQueue}, floorWorkflow, n)
	if err != nil {
		return nil, fmt.Errorf("start the floor's workflow: %w", err)
	}
	out := make([]time.Duration, n)
	for i := range out {
		if out[i], err = poke(ctx, c, e, id); err != nil {
			return nil, err
		}
	}
	return out, run.Get(ctx, nil)
}

func poke(ctx context.Context, c client.Client, e *entries, id string) (time.Duration, error) {
	begin := time.Now()
	h, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: floorUpdate, WaitForStage: client.WorkflowUpdateStageAccepted,
	})
	if err != nil {
		return 0, fmt.Errorf("update the floor's workflow: %w", err)
	}
	took := (<-e.of(id)).Sub(begin)
	return took, h.Get(ctx, nil)
}

// pokeAtOnce pokes n workflows together, and again once all are done. The first time is not
// counted: it starts them.
func pokeAtOnce(ctx context.Context, c client.Client, e *entries, n, rounds int) ([]time.Duration, error) {
	id := func(i int) string { return fmt.Sprintf("bench-floor-%d", i) }
	for i := range n {
		if _, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id(i), TaskQueue: floorQueue}, floorWorkflow, rounds+1); err != nil {
			return nil, fmt.Errorf("start the floor's workflows: %w", err)
		}
	}
	var out []time.Duration
	for round := range rounds + 1 {
		took := make([]time.Duration, n)
		var g errgroup.Group
		for i := range n {
			g.Go(func() (err error) {
				took[i], err = poke(ctx, c, e, id(i))
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		if round > 0 {
			out = append(out, took...)
		}
	}
	return out, nil
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
