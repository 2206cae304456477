package kubernetes

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
)

// statusOf says what a Pod is in a provider's words. lost: its node is out of reach, or deleted
// and not yet collected.
func statusOf(p *corev1.Pod, lost bool) activities.ReplicaStatus {
	s := activities.ReplicaStatus{
		ID: p.Name, Key: keyOf(p),
		Revision: p.Labels[LabelRevision], Epoch: epochOf(p), Node: p.Spec.NodeName,
		State: stateOf(p, lost), Started: startOf(p), Address: p.Status.PodIP,
	}
	switch s.State {
	case activities.RunGone:
		e := endOf(p)
		s.Cause, s.Message, s.ExitCode, s.Ended = e.cause, e.message, e.code, e.at
		s.Last = lastWord(p)
	case activities.RunStarting, activities.RunStopping:
		s.Cause, s.Message = waitingFor(p)
	case activities.RunRunning, activities.RunUnknown: // nothing to say
	}
	return s
}

func stateOf(p *corev1.Pod, lost bool) activities.RunState {
	switch {
	case ended(p):
		return activities.RunGone
	case lost && p.Spec.NodeName != "":
		return activities.RunUnknown
	case p.DeletionTimestamp != nil || p.Annotations[AnnotationAsked] != "":
		return activities.RunStopping
	}
	c := container(p, ModelContainer)
	switch {
	case c == nil || c.State.Running == nil && c.State.Terminated == nil:
		return activities.RunStarting
	case c.State.Running != nil:
		return activities.RunRunning
	default:
		return activities.RunStopping // the kubelet stops the agent, and then says how the Pod ended
	}
}

// ended tells whether nothing of a Pod runs: the kubelet has said so, or no kubelet ever had it.
func ended(p *corev1.Pod) bool {
	terminal := p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	return terminal || p.DeletionTimestamp != nil && p.Spec.NodeName == ""
}

// container is the status of a container, nil while there is none.
func container(p *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, all := range [][]corev1.ContainerStatus{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range all {
			if all[i].Name == name {
				return &all[i]
			}
		}
	}
	return nil
}

func epochOf(p *corev1.Pod) uint64 {
	n, err := strconv.ParseUint(p.Annotations[AnnotationEpoch], 10, 64)
	if err != nil {
		return 0 // somebody edited it: older than every lease
	}
	return n
}

// startOf is when the platform created a Pod. The API server's own times have whole seconds.
func startOf(p *corev1.Pod) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, p.Annotations[AnnotationStarted]); err == nil {
		return t
	}
	return p.CreationTimestamp.Time
}

// devicesOf are the devices of a Pod's lease.
func devicesOf(p *corev1.Pod) []string {
	if list := p.Annotations[AnnotationDevices]; list != "" {
		return strings.Split(list, ",")
	}
	return nil
}

// timeoutOf is how long a Pod may take until its containers run.
func timeoutOf(p *corev1.Pod) time.Duration {
	if d, err := time.ParseDuration(p.Annotations[AnnotationTimeout]); err == nil && d > 0 {
		return d
	}
	return defaultReadyTimeout
}

// lastWord is the status the agent left as its termination message, nil if it left none. A
// message is cut at 4 kB, and then it says nothing.
func lastWord(p *corev1.Pod) *events.Heartbeat {
	name := AgentContainer
	if isRank(p) { // there it is the container's first process
		name = ModelContainer
	}
	c := container(p, name)
	if c == nil {
		return nil
	}
	for _, state := range []corev1.ContainerState{c.State, c.LastTerminationState} {
		if t := state.Terminated; t != nil && t.Message != "" {
			var hb events.Heartbeat
			if json.Unmarshal([]byte(t.Message), &hb) == nil && hb.Replica == p.Name {
				return &hb
			}
		}
	}
	return nil
}
