package e2e

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// TestKubernetesGang trains a job of two ranks on two nodes: through a kill of the platform in the same Pods, and through
// the deletion of one of them in new ones, from its committed checkpoint.
func TestKubernetesGang(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	c.hostNode(t, "host-2", 1)
	c.AddClaim(t, harness.Namespace, checkpointClaim)
	p := c.platform(t, harness.Options{})
	p.Start()
	refusedWithoutPods(t, p)
	p.Submit(p.Job("train", 2))
	j := p.AwaitJob("train", "trains", func(j api.Job) bool { return harness.Trains(30)(j) && j.Saved.Step > 0 })
	pods := c.pods(t)
	if len(pods) != 2 || pods[0].Spec.NodeName == pods[1].Spec.NodeName || len(j.Ranks) != 2 {
		t.Fatalf("two ranks on two nodes are wanted: %v, %+v", names(pods), j.Ranks)
	}
	logs, err := p.API.JobLogs(t.Context(), harness.Key("train"), 1, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	if text, err := io.ReadAll(logs); err != nil || !strings.Contains(string(text), "rank 1 of 2 begins at step 0") {
		t.Errorf("output of rank 1: %q, %v", text, err)
	}

	before, programs := uids(pods), trainers(p)
	p.Kill9()
	p.Start()
	j = p.AwaitJob("train", "trains on", func(now api.Job) bool {
		return harness.Trains(j.Progress.Step+30)(now) && now.Saved.Step > j.Saved.Step
	})
	if after := uids(c.pods(t)); !maps.Equal(before, after) || !slices.Equal(programs, trainers(p)) || j.Attempt != 1 || j.Used.Infra+j.Used.User != 0 {
		t.Errorf("the platform was killed: Pods %v, were %v; attempt %d, retries %+v", after, before, j.Attempt, j.Used)
	}

	if err := c.Client().CoreV1().Pods(harness.Namespace).Delete(t.Context(), j.Ranks[1].ID, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	again := p.AwaitJob("train", "trains again", func(now api.Job) bool {
		return now.Attempt == 2 && now.Resumed != "" && harness.Trains(now.Saved.Step)(now)
	})
	if again.Generation != 2 || !strings.Contains(again.Resumed, "/step-") || again.Used.User != 0 {
		t.Errorf("a Pod was deleted, and it trains as generation %d from %q, retries %+v, last %+v", again.Generation, again.Resumed, again.Used, again.Last)
	}
	for uid := range uids(c.pods(t)) {
		if before[uid] != "" {
			t.Errorf("Pod %s of the gang that ended is still there", before[uid])
		}
	}
	steerJob(t, p, "train", api.JobCancel)
	p.AwaitPhase("train", job.Cancelled)
	c.awaitClean(t)
	if left := p.Running(harness.Trainer); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}

// refusedWithoutPods submits what can have no Pods here.
func refusedWithoutPods(t *testing.T, p *harness.Platform) {
	t.Helper()
	local := p.Job("local", 1)
	local.Spec.Runtime.Local = &functions.Local{Command: local.Spec.Runtime.Command}
	local.Spec.Runtime.Image, local.Spec.Runtime.Command, local.Spec.Runtime.Args = "", nil, nil
	elsewhere := p.Job("elsewhere", 1)
	elsewhere.Spec.Checkpoint.URI = "file:///home/me/run"
	for want, j := range map[string]functions.TrainingJob{"spec.runtime.image: missing": local, "is not below /mnt/checkpoints": elsewhere} {
		if _, err := p.TrySubmit(j); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestKubernetesGangNotStarted submits a gang beyond its namespace's quota: what can be started of it goes again, which costs
// nothing, and all of it starts when the quota grows. One with an image that nobody has is over once that is given up.
func TestKubernetesGangNotStarted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.hostNode(t, "host-2", 2)
	c.AddClaim(t, harness.Namespace, checkpointClaim)
	p := c.platform(t, harness.Options{})
	p.Start()
	mistyped := p.Job("mistyped", 2)
	mistyped.Spec.Runtime.Image = "e2e.example/nowhere:1"
	p.Submit(mistyped)
	pulls := p.AwaitJob("mistyped", "is to pull its image", func(j api.Job) bool {
		return len(j.Ranks) == 2 && j.Ranks[1].State == "starting: "+events.CauseImagePull
	})
	hurry := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"1s"}}}`, kubernetes.AnnotationTimeout) // for what takes five minutes
	if _, err := c.Client().CoreV1().Pods(harness.Namespace).Patch(t.Context(), pulls.Ranks[1].ID, types.MergePatchType, hurry, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	failed := p.AwaitPhase("mistyped", job.Failed)
	if failed.Last.Class != job.ClassConfig || failed.Attempt != 1 || !strings.Contains(strings.Join(failed.Last.Evidence, ""), "ErrImagePull") {
		t.Errorf("an image that nobody has, in attempt %d: %+v", failed.Attempt, failed.Last)
	}

	grow := c.quota(t, "1")
	poor := strings.Repeat("poor-", 12) + "too" // as long as a name may be
	p.Submit(p.Job(poor, 2))
	waits := p.AwaitJob(poor, "is tried again", func(j api.Job) bool {
		return j.Attempt > 2 && strings.Contains(j.Trouble, "exceeded quota: gpus")
	})
	contains(t, "stoker job describe", stoker(t, p, "job", "describe", poor), "exceeded quota: gpus")
	contains(t, "stoker job explain", stoker(t, p, "job", "explain", poor), "exceeded quota: gpus")
	if waits.Used.Infra+waits.Used.User > 0 || waits.Last.Class != job.ClassUnplaced {
		t.Errorf("its gang cannot be started now: retries %+v, last %+v", waits.Used, waits.Last)
	}
	grow("2")
	trains := p.AwaitJob(poor, "trains", harness.Trains(10))
	if len(c.pods(t)) != 2 || trains.Used.Infra+trains.Used.User > 0 || trains.Trouble != "" {
		t.Errorf("it trains in %v, retries %+v, trouble %q", names(c.pods(t)), trains.Used, trains.Trouble)
	}
	steerJob(t, p, poor, api.JobCancel)
	p.AwaitPhase(poor, job.Cancelled)
	c.awaitClean(t)
}
