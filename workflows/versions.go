package workflows

// Versions, each named by the behaviour that is new. One stays as long as a workflow that began
// before it may run.
const (
	// retryStarts: a start whose outcome is in doubt is repeated; before, its replica was killed.
	retryStarts = "retry-starts-in-doubt"

	// claimAtOnce: a job claims its GPUs and opens its barrier within the workflow task that decided so, tells what came of
	// a claim and not that it is about to claim, and writes its search attributes when it is about to wait. It is carried in the job's state: a version that Temporal records costs
	// two events and a search attribute for every job.
	claimAtOnce = 1
	// pauseAnew: the pause after a failure begins anew once a gang has committed a checkpoint.
	pauseAnew = 2
)

// JobCode is the newest behaviour of a job's workflow, which new ones begin with.
const JobCode = pauseAnew
