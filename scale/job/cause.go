package job

import "cmp"

// Cause is why a job is in its phase: a closed set, listed by [Causes].
type Cause string

// The causes beside the classes of failures, which are causes as well.
const (
	CauseNone         Cause = ""
	CauseSubmitted    Cause = "submitted"
	CauseAdmitted     Cause = "admitted"
	CausePreempted    Cause = "preempted"
	CauseRecalled     Cause = "recalled"
	CauseSpot         Cause = "spot"
	CauseNodeDrain    Cause = "node-drain"
	CauseResized      Cause = "resized"
	CauseResumed      Cause = "resumed"
	CauseUnplaced     Cause = "unplaced"
	CausePaused       Cause = "paused"
	CauseCancelled    Cause = "cancelled"
	CauseQueueTimeout Cause = "queue-timeout"
	CauseMaxRuntime   Cause = "max-runtime"
	CauseDeadline     Cause = "deadline"
	CauseBudget       Cause = "budget"
	CauseHung         Cause = "hung"
	CauseBarrier      Cause = "barrier"
	CauseFailed       Cause = "failed"
	CauseNoQueue      Cause = "no-queue"
	CauseTooLarge     Cause = "too-large"
	CauseNoCheckpoint Cause = "no-checkpoint"
)

// cause is one row of the table below.
type cause struct {
	cause   Cause
	meaning string
	final   Phase // "": the job goes on
	room    bool
}

// causes say what each is, and what a gang that is told to go for it comes to: an end of the job,
// or an attempt more because it only makes room.
var causes = []cause{
	{CauseSubmitted, "it was submitted", "", false},
	{CauseAdmitted, "its queue let it in", "", false},
	{CausePreempted, "a job of higher rank needs its GPUs", "", true},
	{CauseRecalled, "inference needs the GPUs that it had lent", "", true},
	{CauseSpot, "the owner of the machine takes it back", "", true},
	{CauseNodeDrain, "people empty its node", "", true},
	{CauseResized, "it goes on with another number of nodes", "", true},
	{CauseResumed, "people let it go on", "", true},
	{CauseUnplaced, "the GPUs it was admitted to are not to be had, or not all of it could be started on them", "", false},
	{CausePaused, "people paused it", "", false},
	{CauseCancelled, "people cancelled it", Cancelled, false},
	{CauseQueueTimeout, "it waited for its first admission longer than queueTimeout", TimedOut, false},
	{CauseMaxRuntime, "its gangs trained for maxRuntime", TimedOut, false},
	{CauseDeadline, "its deadline has passed", TimedOut, false},
	{CauseBudget, "its budget is spent", Failed, false},
	{CauseHung, "it made no progress for too long", "", false},
	{CauseBarrier, "not every rank was there in time", "", false},
	{CauseFailed, "a rank failed, so the gang did", "", false},
	{CauseNoQueue, "the queue does not exist", Rejected, false},
	{CauseTooLarge, "it is larger than what there can be", Rejected, false},
	{CauseNoCheckpoint, "checkpoint.resume is must, and no committed checkpoint is there", Rejected, false},
}

// Causes lists every cause: those of people, limits and schedulers, then the classes of failures.
// The caller owns the slice.
func Causes() []Cause {
	out := make([]Cause, 0, len(causes)+len(classes))
	for _, c := range causes {
		out = append(out, c.cause)
	}
	for _, c := range classes {
		if Cause(c.class).row().cause != CauseNone { // preempted and barrier are both
			continue
		}
		out = append(out, Cause(c.class))
	}
	return out
}

// row is what the table says of a cause; zero for one that is not in it.
func (c Cause) row() cause {
	for _, row := range causes {
		if row.cause == c {
			return row
		}
	}
	return cause{}
}

// Meaning is one sentence for people; empty for a cause outside the set.
func (c Cause) Meaning() string {
	return cmp.Or(c.row().meaning, Class(c).Meaning())
}

// Final tells whether a job that is told to go for the cause comes to its end by it.
func (c Cause) Final() bool { return c.end() != "" }

// end is the phase that a cause ends a job in; empty for one it does not end.
func (c Cause) end() Phase { return c.row().final }

// makesRoom tells whether a gang that is told to go for the cause is followed by another at once.
func (c Cause) makesRoom() bool { return c.row().room }

// stops tells whether a gang that is told to go for the cause is followed by none, at least for now.
func (c Cause) stops() bool { return c.Final() || c == CausePaused }
