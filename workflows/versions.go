package workflows

// Versions, each named by the behaviour that is new. One stays as long as a workflow that began
// before it may run.
const (
	// retryStarts: a start whose outcome is in doubt is repeated; before, its replica was killed.
	retryStarts = "retry-starts-in-doubt"
)
