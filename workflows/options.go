package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// activityTimeout bounds one try of an activity: none runs longer than five seconds without
// a heartbeat, so that a step interrupted by a kill resumes soon after the restart.
const activityTimeout = 5 * time.Second

// activityPatience bounds all tries of an activity. Past it the step gives up and the next
// sync, which the controller repeats while it sees a difference, tries again.
const activityPatience = 30 * time.Second

// killMargin is what a draining replica gets beyond its grace before it is killed: the
// provider kills on time by itself, this only catches a provider that was restarted.
const killMargin = 5 * time.Second

// killRetry is the pause between two attempts to kill a replica that will not go.
const killRetry = 10 * time.Second

// maxRunEvents makes a run continue as new even where the server does not suggest it, so
// that a history stays quick to replay and to read. The server suggests at 4,096.
const maxRunEvents = 2000

// withActivity gives ctx the options every activity of this package runs with.
func withActivity(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    activityTimeout,
		ScheduleToCloseTimeout: activityPatience,
		Summary:                clip(plain(summary), maxSummary),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    50 * time.Millisecond,
			BackoffCoefficient: 2,
			MaximumInterval:    2 * time.Second,
		},
	})
}

// locally gives ctx the options of a local activity, which runs within the workflow task.
func locally(ctx workflow.Context, patience time.Duration, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: patience, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond, MaximumInterval: time.Second},
	})
}

// maxSummary is what Temporal's UI shows of a summary without cutting it (200 bytes documented,
// 400 enforced).
const maxSummary = 200

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n-3] + "..."
}
