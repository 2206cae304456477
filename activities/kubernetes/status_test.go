package kubernetes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

var began = time.Date(2030, 1, 2, 3, 4, 5, 600_000_000, time.UTC)

// replicaSpec is a replica of a manifest as people write it.
func replicaSpec() activities.ReplicaSpec {
	f := functions.Default(functions.Function{
		Metadata: functions.Metadata{Name: "chat", Namespace: "team-a"},
		Spec: functions.Spec{
			Runtime: functions.Runtime{
				Image: "registry.example/vllm:1", Args: []string{"--model", "qwen"},
				Env: []functions.EnvVar{
					{Name: "HF_HOME", Value: "/models"},
					{Name: "HF_TOKEN", ValueFrom: &functions.EnvSource{SecretKeyRef: &functions.SecretKeyRef{Name: "hub", Key: "token"}}},
				},
			},
			Resources: functions.Resources{GPUs: 2, CPU: "4", Memory: "32Gi"},
		},
	})
	return activities.ReplicaSpec{
		ID: "chat-0123456789", Key: f.Key(), Revision: "abcdef", Spec: f.Spec,
		Lease: scale.Lease{Epoch: 7, Node: "node-1", Devices: []string{"gpu-00", "gpu-01"}},
		Agent: events.AgentConfig{Stream: "STOKER_FN_03", NATS: events.NATSAccess{URL: "nats://broker:4222", Token: "secret-token"}},
	}
}

// scenario is a Pod with what happened to it.
func scenario(change func(*corev1.Pod)) *corev1.Pod {
	o, err := Options{Client: unused{}, Namespace: "stoker", Pool: "default"}.complete()
	if err != nil {
		panic(err)
	}
	p := o.pod(replicaSpec(), began)
	p.UID, p.CreationTimestamp = "uid", metav1.NewTime(began.Truncate(time.Second))
	p.Spec.NodeName, p.Status.Phase = "node-1", corev1.PodRunning
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: AgentContainer, State: running()}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: ModelContainer, State: running()}}
	change(p)
	return p
}

func running() corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(began)}}
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func exited(code int32, reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message, FinishedAt: metav1.NewTime(began.Add(time.Minute).Truncate(time.Second)),
	}}
}

func pending(p *corev1.Pod) {
	p.Status = corev1.PodStatus{Phase: corev1.PodPending}
}

// failed ends a Pod whose model server ended like this.
func failed(p *corev1.Pod, state corev1.ContainerState) {
	p.Status.Phase = corev1.PodFailed
	p.Status.ContainerStatuses[0].State = state
	p.Status.InitContainerStatuses[0].State = exited(0, "Completed", "")
}

func deleted(p *corev1.Pod, grace int64) {
	now := metav1.NewTime(began.Add(time.Minute))
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, &grace
}

func stopped(p *corev1.Pod, grace int64) {
	p.Annotations[AnnotationAsked] = AskedDrain
	if grace <= leastGrace && p.Spec.NodeName != "" {
		p.Annotations[AnnotationAsked] = AskedKill
	}
	deleted(p, grace)
}

func because(kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) corev1.PodCondition {
	return corev1.PodCondition{Type: kind, Status: status, Reason: reason, Message: message}
}

func TestWhatAPodIs(t *testing.T) {
	const short = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
	for _, c := range []struct {
		name   string
		change func(*corev1.Pod)
		lost   bool
		state  activities.RunState
		cause  string
		text   string // within the message
		code   int
	}{
		{name: "just created", change: func(p *corev1.Pod) { pending(p); p.Spec.NodeName = "" }, state: activities.RunStarting},
		{name: "unschedulable", change: func(p *corev1.Pod) {
			pending(p)
			p.Spec.NodeName = ""
			p.Status.Conditions = []corev1.PodCondition{because(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable", short)}
		}, state: activities.RunStarting, cause: events.CauseUnschedulable, text: short},
		{name: "image pull", change: func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses[0].State = waiting("ImagePullBackOff", "no such image")
		}, state: activities.RunStarting, cause: events.CauseImagePull, text: "model: ImagePullBackOff: no such image"},
		{name: "a secret is missing", change: func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses[0].State = waiting("CreateContainerConfigError", `secret "hub" not found`)
		}, state: activities.RunStarting, cause: events.CauseSpawnFailed, text: `secret "hub" not found`},
		{name: "creating", change: func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses[0].State = waiting("PodInitializing", "")
		}, state: activities.RunStarting},
		{name: "running", change: func(*corev1.Pod) {}, state: activities.RunRunning},
		{name: "running, node lost", change: func(*corev1.Pod) {}, lost: true, state: activities.RunUnknown},
		{name: "asked to go, node lost", change: func(p *corev1.Pod) { stopped(p, 30) }, lost: true, state: activities.RunUnknown},
		{name: "asked to go", change: func(p *corev1.Pod) { stopped(p, 30) }, state: activities.RunStopping},
		{name: "noted, not yet asked", change: func(p *corev1.Pod) { p.Annotations[AnnotationAsked] = AskedDrain }, state: activities.RunStopping},
		{name: "forced away while it runs", change: func(p *corev1.Pod) { deleted(p, 0) }, state: activities.RunStopping},
		{name: "model ended, agent not", change: func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = exited(1, "Error", "") }, state: activities.RunStopping},
		{name: "never scheduled, and deleted", change: func(p *corev1.Pod) { pending(p); p.Spec.NodeName = ""; stopped(p, 0) },
			state: activities.RunGone, cause: events.CauseDrained},
		{name: "drained", change: func(p *corev1.Pod) { stopped(p, 30); failed(p, exited(143, "Error", "")) },
			state: activities.RunGone, cause: events.CauseDrained, code: 143},
		{name: "drained, and the kubelet's last word", change: func(p *corev1.Pod) {
			stopped(p, 30)
			failed(p, exited(143, "Error", ""))
			p.DeletionGracePeriodSeconds = new(int64(0))
		}, state: activities.RunGone, cause: events.CauseDrained, code: 143},
		{name: "killed at the end of its grace", change: func(p *corev1.Pod) { stopped(p, 30); failed(p, exited(137, "Error", "")) },
			state: activities.RunGone, cause: events.CauseKilled, code: 137},
		{name: "stopped at once", change: func(p *corev1.Pod) { stopped(p, 1); failed(p, exited(143, "Error", "")) },
			state: activities.RunGone, cause: events.CauseKilled, code: 143},
		{name: "crashed", change: func(p *corev1.Pod) { failed(p, exited(7, "Error", "line 1\nCUDA error\n")) },
			state: activities.RunGone, cause: events.CauseCrashed, text: "CUDA error", code: 7},
		{name: "crashed, node lost since", change: func(p *corev1.Pod) { failed(p, exited(7, "Error", "boom")) }, lost: true,
			state: activities.RunGone, cause: events.CauseCrashed, text: "boom", code: 7},
		{name: "ended well, unasked", change: func(p *corev1.Pod) { failed(p, exited(0, "Completed", "")); p.Status.Phase = corev1.PodSucceeded },
			state: activities.RunGone, cause: events.CauseCrashed, text: "exited with code 0"},
		{name: "out of memory", change: func(p *corev1.Pod) { failed(p, exited(137, "OOMKilled", "loading\n")) },
			state: activities.RunGone, cause: events.CauseOutOfMemory, text: "spec.resources.memory", code: 137},
		{name: "no such program", change: func(p *corev1.Pod) { failed(p, exited(128, "StartError", "exec: not found")) },
			state: activities.RunGone, cause: events.CauseSpawnFailed, text: "exec: not found", code: 128},
		{name: "never ready, said by the agent", change: func(p *corev1.Pod) {
			failed(p, exited(143, "Error", ""))
			p.Status.InitContainerStatuses[0].State = exited(0, "Completed", `{"replica":"chat-0123456789","phase":"exited","cause":"never-ready","message":"no answer"}`)
		}, state: activities.RunGone, cause: events.CauseNeverReady, text: "no answer", code: 143},
		{name: "evicted by the kubelet", change: func(p *corev1.Pod) {
			failed(p, exited(137, "Error", ""))
			p.Status.Reason, p.Status.Message = "Evicted", "The node was low on resource: memory."
		}, state: activities.RunGone, cause: events.CauseEvicted, text: "low on resource", code: 137},
		{name: "evicted through the API", change: func(p *corev1.Pod) {
			deleted(p, 30)
			failed(p, exited(143, "Error", ""))
			p.Status.Conditions = []corev1.PodCondition{because(corev1.DisruptionTarget, corev1.ConditionTrue, "EvictionByEvictionAPI", "Eviction API: evicting")}
		}, state: activities.RunGone, cause: events.CauseEvicted, text: "evicting", code: 143},
		{name: "preempted", change: func(p *corev1.Pod) {
			deleted(p, 30)
			failed(p, exited(143, "Error", ""))
			p.Status.Conditions = []corev1.PodCondition{because(corev1.DisruptionTarget, corev1.ConditionTrue, "PreemptionByScheduler", "preempting to accommodate a higher priority pod")}
		}, state: activities.RunGone, cause: events.CausePreempted, text: "higher priority", code: 143},
		{name: "its node was deleted", change: func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			deleted(p, 0)
			p.Status.Conditions = []corev1.PodCondition{because(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByPodGC", "PodGC: node no longer exists")}
		}, lost: true, state: activities.RunGone, cause: events.CauseNodeLost, text: "node no longer exists"},
		{name: "refused by the kubelet", change: func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "OutOfnvidia.com/gpu", Message: "Node didn't have enough resource"}
		}, state: activities.RunGone, cause: events.CauseUnschedulable, text: "enough resource"},
		{name: "deleted by somebody", change: func(p *corev1.Pod) { deleted(p, 30); failed(p, exited(143, "Error", "")) },
			state: activities.RunGone, cause: events.CausePodDeleted, text: "somebody else", code: 143},
		{name: "given up", change: func(p *corev1.Pod) {
			pending(p)
			p.Spec.NodeName = ""
			deleted(p, 0)
			p.Annotations[AnnotationAsked], p.Annotations[AnnotationWhy] = events.CauseUnschedulable, short
		}, state: activities.RunGone, cause: events.CauseUnschedulable, text: short},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := statusOf(scenario(c.change), c.lost)
			if s.State != c.state || s.Cause != c.cause || s.ExitCode != c.code {
				t.Errorf("%s, cause %q, exit code %d; want %s, %q, %d", s.State, s.Cause, s.ExitCode, c.state, c.cause, c.code)
			}
			if !strings.Contains(s.Message, c.text) || c.text == "" && s.Message != "" {
				t.Errorf("message %q, want %q in it", s.Message, c.text)
			}
		})
	}
}

func TestWhoseAPodIs(t *testing.T) {
	s := statusOf(scenario(func(*corev1.Pod) {}), false)
	want := functions.Key{Namespace: "team-a", Name: "chat"}
	if s.ID != "chat-0123456789" || s.Key != want || s.Revision != "abcdef" || s.Epoch != 7 || s.Node != "node-1" || !s.Started.Equal(began) {
		t.Errorf("%+v", s)
	}
}

func TestOnlyTheLastLinesAreQuoted(t *testing.T) {
	var output strings.Builder
	for i := range 100 {
		fmt.Fprintf(&output, "line %d\n", i+1)
	}
	s := statusOf(scenario(func(p *corev1.Pod) { failed(p, exited(7, "Error", output.String())) }), false)
	if got := strings.Split(s.Message, "\n"); len(got) != quoted || got[0] != "line 81" || got[quoted-1] != "line 100" {
		t.Errorf("quoted %d lines: %q", len(got), s.Message)
	}
}

func TestTheAgentsLastWord(t *testing.T) {
	for _, c := range []struct {
		message string
		want    bool
	}{
		{`{"replica":"chat-0123456789","phase":"exited"}`, true},
		{`{"replica":"another","phase":"exited"}`, false},
		{`{"replica":"chat-0123456789","pha`, false}, // cut at 4 kB
		{"", false},
	} {
		s := statusOf(scenario(func(p *corev1.Pod) {
			failed(p, exited(7, "Error", ""))
			p.Status.InitContainerStatuses[0].State.Terminated.Message = c.message
		}), false)
		if got := s.Last != nil; got != c.want {
			t.Errorf("%q was read: %v, want %v", c.message, got, c.want)
		}
	}
}

func TestWhenAStartIsGivenUp(t *testing.T) {
	refused := because(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable", "no GPU")
	failing := began.Add(2 * time.Minute)
	rankIn := func(p *corev1.Pod) {
		p.Labels[LabelFunction] = rankSpec().Key.Name
		p.Annotations[AnnotationTimeout] = readyTimeout(rankSpec().Spec.Runtime).String()
	}
	refused.LastTransitionTime = metav1.NewTime(began.Add(3 * time.Second).Truncate(time.Second))
	for _, c := range []struct {
		name   string
		change func(*corev1.Pod)
		after  time.Duration // of the start
		cause  string
	}{
		{"refused by its node", func(p *corev1.Pod) { pending(p); p.Status.Conditions = []corev1.PodCondition{refused} },
			refused.LastTransitionTime.Sub(began) + ScheduleTimeout, events.CauseUnschedulable},
		{"refused by every node", func(p *corev1.Pod) {
			pending(p)
			p.Status.Conditions, p.Spec.Affinity = []corev1.PodCondition{refused}, nil
		}, 5 * time.Minute, events.CauseUnschedulable},
		{"pulls for ever", func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = waiting("ErrImagePull", "") }, 5 * time.Minute, events.CauseImagePull},
		{"is to pull what cannot be", func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = waiting("InvalidImageName", "") }, 0, events.CauseImagePull},
		{"its registry is away", func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = waiting("RegistryUnavailable", "") }, 5 * time.Minute, events.CauseNeverReady},
		{"a rank", func(p *corev1.Pod) { pending(p); rankIn(p) }, 15 * time.Minute, events.CauseNeverReady},
		{"a rank that pulls for ever", func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State = waiting("ImagePullBackOff", "")
			rankIn(p)
		}, failing.Sub(began) + faultTimeout, events.CauseImagePull},
		{"a rank that begins to fail late", func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State = waiting("ImagePullBackOff", "")
			rankIn(p)
			p.Annotations[AnnotationTimeout] = "6m0s"
		}, 6 * time.Minute, events.CauseImagePull},
		{"a rank that no node takes", func(p *corev1.Pod) {
			pending(p)
			rankIn(p)
			p.Status.Conditions, p.Spec.Affinity = []corev1.PodCondition{refused}, nil
		}, 15 * time.Minute, events.CauseUnschedulable},
		{"nobody says why", pending, 5 * time.Minute, events.CauseNeverReady},
		{"its own timeout", func(p *corev1.Pod) { pending(p); p.Annotations[AnnotationTimeout] = "20m0s" }, 20 * time.Minute, events.CauseNeverReady},
		{"an edited timeout", func(p *corev1.Pod) { pending(p); p.Annotations[AnnotationTimeout] = "soon" }, 5 * time.Minute, events.CauseNeverReady},
	} {
		v := verdictOn(scenario(c.change), failing)
		if v.at.Sub(began) != c.after || v.cause != c.cause {
			t.Errorf("%s: %q after %v; want %q after %v", c.name, v.cause, v.at.Sub(began), c.cause, c.after)
		}
	}
}
