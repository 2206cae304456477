package bench

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/cmd/stoker/platform"
)

// Names of the workflow that does nothing, and how many are started at a time.
const (
	emptyWorkflow = "BenchEmpty"
	emptyQueue    = "stoker-bench-empty"
	emptyAtOnce   = 16
)

// startEmpty starts n workflows that do nothing, and returns how long it took until the last had ended.
func startEmpty(ctx context.Context, c client.Client, n int) (time.Duration, error) {
	w := worker.New(c, emptyQueue, worker.Options{MaxConcurrentWorkflowTaskPollers: platform.WorkflowPollers, DisableRegistrationAliasing: true})
	w.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil }, workflow.RegisterOptions{Name: emptyWorkflow})
	if err := w.Start(); err != nil {
		return 0, fmt.Errorf("start the floor's worker: %w", err)
	}
	defer w.Stop()
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(emptyAtOnce)
	for i := range n {
		g.Go(func() error {
			run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: fmt.Sprintf("bench-empty-%d", i), TaskQueue: emptyQueue}, emptyWorkflow)
			if err != nil {
				return fmt.Errorf("start the floor's workflow: %w", err)
			}
			return run.Get(ctx, nil)
		})
	}
	err := g.Wait()
	return time.Since(began), err
}
