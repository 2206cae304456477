package kubernetes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"stoker.dev/stoker/events"
)

// quoted is how many lines of output go with a failure, as in the other providers.
const quoted = 20

// killedCode is the exit code of a process that was killed, as the kubelet tells it.
const killedCode = 128 + 9

// ending is how a Pod ended.
type ending struct {
	cause, message string
	code           int
	at             time.Time
}

// endOf says why a Pod ended. Who decided it comes before what its containers made of it: an
// evicted model server exits like any other that was asked to.
func endOf(p *corev1.Pod) ending {
	e := ending{at: endTime(p)}
	model := terminated(p, ModelContainer)
	if model != nil {
		e.code = int(model.ExitCode)
	}
	asked := p.Annotations[AnnotationAsked]
	switch {
	case asked != "" && !stop(asked): // given up
		e.cause, e.message = asked, p.Annotations[AnnotationWhy]
	case rejected(p) != "":
		e.cause, e.message = rejected(p), sentence(p.Status.Reason, p.Status.Message)
	case disrupted(p) != nil:
		c := disrupted(p)
		e.cause, e.message = disruptions[c.Reason], sentence(c.Reason, c.Message)
	case model != nil && model.Reason == "OOMKilled":
		e.cause, e.message = events.CauseOutOfMemory, outOfMemory(p, model)
	case asked != "":
		e.cause = stopCause(asked, model)
	case p.DeletionTimestamp != nil:
		e.cause, e.message = events.CausePodDeleted, "the Pod was deleted by somebody else"
	default:
		e.cause, e.message = exitCause(p, model)
	}
	return e
}

// stop tells whether a Pod was asked to go by whoever may, and not given up.
func stop(asked string) bool { return asked == AskedDrain || asked == AskedKill }

// rejected are the ends a node gives a Pod of its own accord.
func rejected(p *corev1.Pod) string {
	switch reason := p.Status.Reason; {
	case reason == "Evicted":
		return events.CauseEvicted
	case strings.HasPrefix(reason, "OutOf"), reason == "NodeAffinity", reason == "UnexpectedAdmissionError":
		return events.CauseUnschedulable // the kubelet's own check refused what the scheduler had placed
	case reason == "NodeLost", reason == "NodeShutdown", reason == "Terminated", reason == "Shutdown":
		return events.CauseNodeLost
	}
	return ""
}

// disruptions are the reasons of a Pod's DisruptionTarget condition
// (https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions).
var disruptions = map[string]string{
	"PreemptionByScheduler":  events.CausePreempted,
	"EvictionByEvictionAPI":  events.CauseEvicted,
	"DeletionByTaintManager": events.CauseEvicted,
	"TerminationByKubelet":   events.CauseEvicted,
	"DeletionByPodGC":        events.CauseNodeLost,
}

func disrupted(p *corev1.Pod) *corev1.PodCondition {
	c := condition(p, corev1.DisruptionTarget)
	if c == nil || c.Status != corev1.ConditionTrue || disruptions[c.Reason] == "" {
		return nil
	}
	return c
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// stopCause tells a server that went when asked from one that was killed: at once, or at the end
// of its grace. The grace that the Pod itself names says nothing: the kubelet's last word sets it to 0.
func stopCause(asked string, model *corev1.ContainerStateTerminated) string {
	if asked == AskedKill || model != nil && model.ExitCode == killedCode {
		return events.CauseKilled
	}
	return events.CauseDrained
}

// exitCause is the cause of an end that nobody asked for.
func exitCause(p *corev1.Pod, model *corev1.ContainerStateTerminated) (cause, message string) {
	last := lastWord(p)
	switch {
	case model == nil:
		return events.CauseAgentLost, sentence(p.Status.Reason, p.Status.Message)
	case model.Reason == "StartError", model.Reason == "ContainerCannotRun":
		return events.CauseSpawnFailed, sentence(model.Reason, model.Message)
	case isRank(p):
		return rankEnd(p, model)
	case last != nil && last.Cause == events.CauseNeverReady:
		return last.Cause, last.Message
	default:
		return events.CauseCrashed, cmp.Or(lastLines(model.Message), fmt.Sprintf("the model server exited with code %d", model.ExitCode))
	}
}

func outOfMemory(p *corev1.Pod, model *corev1.ContainerStateTerminated) string {
	output := lastLines(model.Message)
	if isRank(p) {
		output = "" // it is the agent's status
	}
	return strings.TrimLeft(output+"\nout of memory: the kernel killed it at its limit, spec.resources.memory", "\n")
}

// terminated is how a container ended, nil if it has not, or never ran.
func terminated(p *corev1.Pod, name string) *corev1.ContainerStateTerminated {
	if c := container(p, name); c != nil {
		return c.State.Terminated
	}
	return nil
}

// endTime is when the last container ended; zero if none did.
func endTime(p *corev1.Pod) time.Time {
	var at time.Time
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		if t := c.State.Terminated; t != nil && t.FinishedAt.After(at) {
			at = t.FinishedAt.Time
		}
	}
	return at
}

// waitingFor says why a Pod does not run yet, or has not gone yet; nothing to say is "".
func waitingFor(p *corev1.Pod) (cause, message string) {
	if asked := p.Annotations[AnnotationAsked]; asked != "" && !stop(asked) {
		return asked, p.Annotations[AnnotationWhy]
	}
	if c := condition(p, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		return events.CauseUnschedulable, sentence(c.Reason, c.Message)
	}
	if name, w := waitingContainer(p); w != nil {
		return waits[w.Reason], sentence(name+": "+w.Reason, w.Message)
	}
	return "", ""
}

// waitingContainer is the container that waits for what does not pass by itself, nil if none does.
func waitingContainer(p *corev1.Pod) (string, *corev1.ContainerStateWaiting) {
	for _, name := range []string{AgentContainer, ModelContainer} {
		if c := container(p, name); c != nil && c.State.Waiting != nil && waits[c.State.Waiting.Reason] != "" {
			return name, c.State.Waiting
		}
	}
	return "", nil
}

// hopeless tells whether a Pod waits for what will never come, however long it waits.
func hopeless(p *corev1.Pod) bool {
	_, w := waitingContainer(p)
	return w != nil && (w.Reason == "InvalidImageName" || w.Reason == "ErrImageNeverPull")
}

// waits are the reasons for which a container waits that do not pass by themselves. Those that do,
// such as ContainerCreating and PodInitializing, have no cause.
var waits = map[string]string{
	"ErrImagePull":               events.CauseImagePull,
	"ImagePullBackOff":           events.CauseImagePull,
	"InvalidImageName":           events.CauseImagePull,
	"ErrImageNeverPull":          events.CauseImagePull,
	"RegistryUnavailable":        events.CauseNeverReady, // no fault of whoever named the image
	"ImageInspectError":          events.CauseImagePull,
	"CreateContainerConfigError": events.CauseSpawnFailed, // a Secret that is not there, say
	"CreateContainerError":       events.CauseSpawnFailed,
	"RunContainerError":          events.CauseSpawnFailed,
	"CrashLoopBackOff":           events.CauseAgentLost, // only the agent is ever restarted
}

// sentence joins a reason and its message.
func sentence(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// lastLines are the last lines of an output.
func lastLines(output string) string {
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-quoted):], "\n")
}
