package kubernetes

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// rankSpec is rank 1 of a gang of two.
func rankSpec() activities.ReplicaSpec {
	r := replicaSpec()
	spec := functions.JobSpec{
		Framework: functions.FrameworkTorch,
		Runtime: functions.JobRuntime{
			Image: "registry.example/train:1", Command: []string{"torchrun", "train.py"}, Args: []string{"--node", "$(NODE_RANK)"}, Env: r.Spec.Runtime.Env,
		},
		Resources:  functions.JobResources{Nodes: 2, GPUsPerNode: 2, CPU: "4", Memory: "32Gi"},
		Preemption: functions.Preemption{Grace: functions.Duration(time.Minute)},
	}
	job := functions.Key{Namespace: "team-a", Name: "sft"}
	r.ID, r.Key, r.Spec = "sft-0123456789-3-1", events.RankKey(job), spec.Rank()
	r.Gang = &contract.Place{
		Job: job, Spec: spec, Attempt: 2, Generation: 3, Rank: 1, Addresses: []string{"node-0", "node-1"}, Port: 29500, CheckpointDir: "/mnt/shared/run",
	}
	return r
}

// TestPodOfARank shows what is created: testdata/rank.yaml is to be read by people.
func TestPodOfARank(t *testing.T) { checkGolden(t, "rank.yaml", rankSpec()) }

// TestARankOfALongNameHasAPod: what its ranks go by is longer than a label may be.
func TestARankOfALongNameHasAPod(t *testing.T) {
	o := Options{Pool: "default", Checkpoints: Volume{"shared", "/mnt/shared"}}
	labels := map[string]bool{}
	for _, n := range []int{59, 60, 62, 63} {
		r := rankSpec()
		r.Key = events.RankKey(functions.Key{Namespace: "team-a", Name: strings.Repeat("n", n)})
		p := o.pod(r, began)
		for k, v := range p.Labels {
			if problems := validation.IsValidLabelValue(v); len(problems) > 0 {
				t.Errorf("a name of %d bytes: label %s: %v", n, k, problems)
			}
		}
		labels[p.Labels[LabelFunction]] = true
		if s := statusOf(p, false); s.Key != r.Key || !isRank(p) {
			t.Errorf("a name of %d bytes is read as %v", n, s.Key)
		}
	}
	if len(labels) != 4 {
		t.Errorf("four jobs have the labels %v", labels)
	}
}

func TestTheAgentOfARankIsToldItsPlace(t *testing.T) {
	r := rankSpec()
	files, err := Options{Pool: "default", Checkpoints: Volume{"shared", "/mnt/shared"}}.agentFiles(r)
	if err != nil {
		t.Fatal(err)
	}
	var cfg events.AgentConfig
	var place contract.Place
	if err := errors.Join(json.Unmarshal(files[agentFile], &cfg), json.Unmarshal(cfg.Rank.Place, &place)); err != nil {
		t.Fatal(err)
	}
	if cfg.Attach || !slices.Equal(cfg.Command, []string{"torchrun", "train.py", "--node", "$(NODE_RANK)"}) || !slices.Equal(cfg.Secrets, []string{"HF_TOKEN"}) {
		t.Errorf("the agent is told %+v", cfg)
	}
	if cfg.Rank.Generation != 3 || cfg.Rank.Rank != 1 || place.Dir != rankDir || place.CheckpointDir != "/mnt/shared/run" || place.Attempt != 2 {
		t.Errorf("its place: %+v, %+v", cfg.Rank, place)
	}
	place.Addresses = []string{"10.0.0.1", "10.0.0.2"}
	if _, err := contract.Environment(place); err != nil {
		t.Errorf("no environment can be made of it: %v", err)
	}
}

func TestWhatCannotBecomeARanksPod(t *testing.T) {
	with := Options{Checkpoints: Volume{"shared", "/mnt/shared"}}
	if err := with.checkSpec(rankSpec()); err != nil {
		t.Errorf("a good one: %v", err)
	}
	noImage, noCommand, elsewhere, atRoot := rankSpec(), rankSpec(), rankSpec(), rankSpec()
	noImage.Spec.Runtime.Image = ""
	noCommand.Gang.Spec.Runtime.Command = nil
	elsewhere.Gang.CheckpointDir = "/mnt/shared/../home"
	atRoot.Gang.CheckpointDir = "/mnt/shared"
	for _, c := range []struct {
		o    Options
		r    activities.ReplicaSpec
		want string
	}{
		{with, noImage, "spec.runtime.image"},
		{with, noCommand, "spec.runtime.command"},
		{Options{}, rankSpec(), "--kube-checkpoints"},
		{with, elsewhere, "not below /mnt/shared"},
		{with, atRoot, "not below /mnt/shared"},
	} {
		if err := c.o.checkSpec(c.r); !errors.Is(err, activities.ErrBadSpec) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

// TestHowARankEnded reads Pods as a kubelet and the API server leave them.
func TestHowARankEnded(t *testing.T) {
	said := func(hb events.Heartbeat) string {
		hb.Replica = rankSpec().ID
		data, err := json.Marshal(hb)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	exited := said(events.Heartbeat{Phase: events.PhaseExited, Cause: events.CauseCrashed, Message: "exit code 3\nValueError", Rank: &events.Rank{Step: 7}})
	training := said(events.Heartbeat{Phase: events.PhaseReady, Rank: &events.Rank{Step: 7}})
	ended := func(reason, message string, code int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, Message: message}}
		}
	}
	for name, c := range map[string]struct {
		change         func(*corev1.Pod)
		cause, message string
		told           bool
	}{
		"the agent said how":    {ended("Error", exited, 3), events.CauseCrashed, "ValueError", true},
		"killed with its agent": {ended("Error", training, 137), events.CauseCrashed, "code 137", true},
		"out of memory":         {ended("OOMKilled", training, 137), events.CauseOutOfMemory, "spec.resources.memory", true},
		"no such program":       {ended("StartError", "no such file", 128), events.CauseSpawnFailed, "no such file", false},
		"evicted": {func(p *corev1.Pod) {
			ended("Error", exited, 75)(p)
			p.Status.Reason, p.Status.Message = "Evicted", "the node was low on memory"
		}, events.CauseEvicted, "low on memory", true},
	} {
		p := scenario(c.change)
		p.Name, p.Labels[LabelFunction] = rankSpec().ID, rankSpec().Key.Name
		s := statusOf(p, false)
		if s.State != activities.RunGone || s.Cause != c.cause || !strings.Contains(s.Message, c.message) || strings.Contains(s.Message, `{"`) {
			t.Errorf("%s: %s, %q: %q", name, s.State, s.Cause, s.Message)
		}
		if told := s.Last != nil && s.Last.Rank != nil && s.Last.Rank.Step == 7; told != c.told {
			t.Errorf("%s: the agent's last status is %+v", name, s.Last)
		}
	}
}
