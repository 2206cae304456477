package jobs_test

import (
	"fmt"
	"time"

	"stoker.dev/stoker/scale/jobs"
)

// A job that has run for two days makes room for one that has just come: after so long it will
// probably run for days more, and the other may well be done in minutes.
func ExampleStoker() {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	s := jobs.Snapshot{Now: now, GPUs: 8, Jobs: []jobs.Job{
		{ID: "pretrain", GPUs: 8, Preemptible: true, Submitted: now.Add(-48 * time.Hour), Started: now.Add(-48 * time.Hour)},
		{ID: "try", GPUs: 1, Preemptible: true, Submitted: now},
	}}
	for _, step := range jobs.Stoker(&jobs.History{}, s).Steps {
		fmt.Printf("%s %s: %s\n", step.Action, step.Job, step.Reason.Meaning())
	}
	// Output:
	// preempt pretrain: preempted: jobs ahead of it take its GPUs
	// admit try: admitted: it is ahead of jobs that make room for it
}
