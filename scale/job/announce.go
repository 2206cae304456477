package job

import "stoker.dev/stoker/functions"

// Announce is what people are told of a step, as notify.on of the manifest names it; false for a step
// that is nobody's news.
func Announce(before, after State) (functions.JobEvent, bool) {
	if before.Phase == after.Phase {
		return "", false
	}
	switch after.Phase {
	case Running:
		return functions.JobStarted, !before.Phase.Trains()
	case Queued:
		return functions.JobPreempted, before.Phase == Draining && after.Cause.makesRoom()
	case Recovering:
		return functions.JobRetrying, after.Cause != CauseUnplaced // nothing has failed, and it may go on for days
	case Succeeded:
		return functions.JobSucceeded, true
	case Failed:
		return functions.JobFailed, true
	case Cancelled:
		return functions.JobCancelled, true
	case TimedOut:
		return functions.JobTimedOut, true
	case Rejected:
		return functions.JobRejected, true
	default:
		return "", false
	}
}
