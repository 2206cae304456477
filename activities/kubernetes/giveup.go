package kubernetes

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"stoker.dev/stoker/events"
)

// verdict is when a Pod that does not run yet is given up, and for what.
type verdict struct {
	at             time.Time
	cause, message string
}

// verdictOn says when to give up on a starting Pod, which has been failing since then to get what it waits for. One that
// is refused by the very node it was placed on has [ScheduleTimeout], and a rank that fails [faultTimeout]; any other has
// the manifest's time to become ready, since images are pulled and clusters grow in minutes.
func verdictOn(p *corev1.Pod, failing time.Time) verdict {
	limit := timeoutOf(p)
	v := verdict{at: startOf(p).Add(limit)}
	v.cause, v.message = waitingFor(p)
	switch {
	case v.cause == "":
		v.cause, v.message = events.CauseNeverReady, fmt.Sprintf("its containers did not run within %v", limit)
	case v.cause == events.CauseUnschedulable && p.Spec.Affinity != nil:
		refused := condition(p, corev1.PodScheduled).LastTransitionTime.Time
		v.at = slices.MaxFunc([]time.Time{startOf(p), refused}, time.Time.Compare).Add(ScheduleTimeout)
	case hopeless(p):
		v.at = startOf(p)
	case v.cause != events.CauseUnschedulable && isRank(p):
		v.at = slices.MinFunc([]time.Time{v.at, failing.Add(faultTimeout)}, time.Time.Compare)
	}
	return v
}
