package kubernetes

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"stoker.dev/stoker/events"
)

// verdict is when a Pod that does not run yet is given up, and for what.
type verdict struct {
	at             time.Time
	cause, message string
}

// verdictOn says when to give up on a starting Pod. One that is refused by the very node it was
// placed on has [ScheduleTimeout]; any other has the manifest's time to become ready, since images
// are pulled and clusters grow in minutes.
func verdictOn(p *corev1.Pod) verdict {
	cause, message := waitingFor(p)
	if cause == events.CauseUnschedulable && p.Spec.Affinity != nil {
		since := startOf(p)
		if c := condition(p, corev1.PodScheduled); c.LastTransitionTime.After(since) {
			since = c.LastTransitionTime.Time
		}
		return verdict{since.Add(ScheduleTimeout), cause, message}
	}
	limit := timeoutOf(p)
	if cause == "" {
		cause, message = events.CauseNeverReady, fmt.Sprintf("its containers did not run within %v", limit)
	}
	return verdict{startOf(p).Add(limit), cause, message}
}
