package kubetest

import (
	"cmp"
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// conditions remember since when each of a Pod's conditions is what it is. They are the reporter's alone.
type conditions map[corev1.PodConditionType]corev1.PodCondition

func (cs conditions) set(kind corev1.PodConditionType, holds bool, reason string) corev1.PodCondition {
	status := corev1.ConditionFalse
	if holds {
		status, reason = corev1.ConditionTrue, ""
	}
	was, ok := cs[kind]
	if !ok || was.Status != status {
		was.LastTransitionTime = metav1.Now()
	}
	was.Type, was.Status, was.Reason = kind, status, reason
	cs[kind] = was
	return was
}

// currentStatus writes the status of a Pod that is there.
func (p *podRun) currentStatus(ctx context.Context) error { return p.patchStatus(ctx, p.status(false)) }

// finalStatus writes the status of a Pod of which nothing runs any more.
func (p *podRun) finalStatus(ctx context.Context) error { return p.patchStatus(ctx, p.status(true)) }

// patchStatus writes what a kubelet writes and leaves the rest, such as PodScheduled, to those who write that. The UID
// keeps it off another Pod of the same name.
func (p *podRun) patchStatus(ctx context.Context, status corev1.PodStatus) error {
	pod := p.last()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	_, err = p.node.cluster.client.CoreV1().Pods(pod.Namespace).
		Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

func (p *podRun) status(final bool) corev1.PodStatus {
	s := corev1.PodStatus{
		HostIP: loopback, HostIPs: []corev1.HostIP{{IP: loopback}}, PodIP: loopback, PodIPs: []corev1.PodIP{{IP: loopback}},
		StartTime: &p.since,
	}
	for _, c := range p.inits {
		s.InitContainerStatuses = append(s.InitContainerStatuses, c.status(final))
	}
	for _, c := range p.mains {
		s.ContainerStatuses = append(s.ContainerStatuses, c.status(final))
	}
	s.Phase = p.phase(s, final)
	p.mu.Lock()
	if p.refused != nil {
		s.Reason, s.Message = p.refused.reason, p.refused.message
	}
	p.mu.Unlock()
	reason := map[corev1.PodPhase]string{corev1.PodSucceeded: "PodCompleted", corev1.PodFailed: "PodFailed"}[s.Phase]
	reason = cmp.Or(reason, "ContainersNotReady")
	ready := allReady(s) && !final
	s.Conditions = []corev1.PodCondition{
		p.conds.set(corev1.PodReadyToStartContainers, !final, ""),
		p.conds.set(corev1.PodInitialized, p.initialized(s), "ContainersNotInitialized"),
		p.conds.set(corev1.ContainersReady, ready, reason),
		p.conds.set(corev1.PodReady, ready, reason),
	}
	return s
}

// phase is the Pod's, as the kubelet derives it from its containers.
func (p *podRun) phase(s corev1.PodStatus, final bool) corev1.PodPhase {
	failed, waiting := p.refused != nil, false
	for _, c := range s.ContainerStatuses {
		failed = failed || c.State.Terminated != nil && c.State.Terminated.ExitCode != completed
		waiting = waiting || c.State.Waiting != nil && c.RestartCount == 0
	}
	switch {
	case final && failed:
		return corev1.PodFailed
	case final:
		return corev1.PodSucceeded
	case waiting:
		return corev1.PodPending
	}
	return corev1.PodRunning
}

// initialized tells whether all init containers have done what the main ones wait for.
func (p *podRun) initialized(s corev1.PodStatus) bool {
	for i, c := range s.InitContainerStatuses {
		if p.inits[i].sidecar() {
			if c.Started == nil || !*c.Started {
				return false
			}
		} else if c.State.Terminated == nil || c.State.Terminated.ExitCode != completed {
			return false
		}
	}
	return true
}

// allReady leaves out init containers that are no sidecars: they have ended.
func allReady(s corev1.PodStatus) bool {
	for _, c := range s.InitContainerStatuses {
		if !c.Ready && c.State.Terminated == nil {
			return false
		}
	}
	for _, c := range s.ContainerStatuses {
		if !c.Ready {
			return false
		}
	}
	return true
}

// status is the container's. In the final one of a Pod, one that never ran has an end too, as the kubelet gives it.
func (c *container) status(final bool) corev1.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	started := c.started
	s := corev1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, State: c.state, LastTerminationState: c.last,
		Ready: c.ready, Started: &started, RestartCount: c.restarts,
	}
	if c.state.Waiting == nil {
		s.ContainerID = c.id()
	}
	if c.init && !c.sidecar() && c.state.Terminated != nil {
		s.Ready = c.state.Terminated.ExitCode == completed
	}
	if final && c.state.Terminated == nil {
		s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: killedCode, Reason: unknownState, Message: "The container could not be located when the pod was terminated",
		}}
	}
	return s
}
