package workflows

import "errors"

// Sentinels of this package.
var (
	// ErrStale is returned when a workflow refuses a decision older than one it accepted.
	ErrStale = errors.New("the workflow has a newer decision")
	// ErrNotRunning is returned when a function has no running workflow.
	ErrNotRunning = errors.New("the function has no running workflow")
)

// typeStale marks ErrStale on its way through Temporal.
const typeStale = "StaleEpoch"
