package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/kubetest"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// apiServerAway is how long the API server is away: as long as a workflow tries an activity.
const apiServerAway = 30 * time.Second

// TestKubernetesAPIServerGone kills the API server under load: warm traffic goes on without one failure, a function at
// zero is woken once it is back, and the Pods are the same ones.
func TestKubernetesAPIServerGone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	p := c.platform(t, harness.Options{})
	p.Start()
	warm := p.Function("warm", "-delay", "20ms")
	warm.Spec.Scaling = functions.Scaling{Min: 2, Max: 2, Slots: 4}
	cold := p.Function("cold")
	cold.Spec.Queue.Deadline = functions.Duration(10 * time.Minute)
	cold.Spec.Runtime.Ready.Timeout = functions.Duration(5 * time.Minute) // the scheduler may look again a minute later
	p.Apply(warm, cold)
	p.Await("warm", "ready", func(f api.Function) bool { return f.Ready == 2 })
	before := uids(c.pods(t))

	callers := startCallers(t, p, "warm", 4)
	c.Kill(t, kubetest.APIServer)
	waiting := p.MustPublish(p.JetStream(), "cold", functions.Standard, "asked while the API server is away")
	awaitSaid(t, p, "cold", "the API server is away", "connection refused")
	pace := callers.pace(t, apiServerAway)
	c.StartRole(t, kubetest.APIServer)
	back := time.Now()
	rec := p.AwaitRecords("cold", []string{waiting})[waiting]
	took := time.Since(back)
	calls, failures := callers.stop()

	t.Logf("away for %v: %.0f requests/s, %d calls; the wake was answered %v after it was back", apiServerAway, pace, calls, took.Round(time.Millisecond))
	for _, f := range failures {
		t.Errorf("warm traffic failed: %v", f)
	}
	if rec.Status != events.StatusOK {
		t.Errorf("the request that waited: %s (%s): %s", rec.Status, rec.Cause, rec.Message)
	}
	t.Logf("its cold start: %+v", p.AwaitZero("cold").ColdStart)
	if after := uids(c.pods(t)); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the Pods were %v and are %v", before, after)
	}
	for _, name := range []string{"warm", "cold"} {
		if f := p.Get(name); f.Failure != nil {
			t.Errorf("%s: a replica counts as failed: %+v", name, f.Failure)
		}
	}
}

// TestKubernetesWatchCut cuts the platform off from the API server, and deletes a Pod meanwhile: it is known and
// replaced once the platform can see again, and nothing is lost.
func TestKubernetesWatchCut(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	wire := newWire(t)
	wire.aim(t, c.RESTConfig().Host)
	p := c.platformVia(t, harness.Options{}, "https://"+wire.at())
	p.Start()
	f := p.Function("seen", "-delay", "20ms")
	f.Spec.Scaling = functions.Scaling{Min: 2, Max: 2, Slots: 4}
	p.Apply(f)
	p.Await("seen", "ready", func(f api.Function) bool { return f.Ready == 2 })
	load := startLoad(t, p, "seen")
	load.awaitProgress("before the cut")

	wire.cut()
	gone := c.pods(t)[0]
	if err := c.Client().CoreV1().Pods(gone.Namespace).Delete(t.Context(), gone.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "its processes gone", func() (bool, any) {
		all := p.Running(harness.ModelServer)
		return len(all) == 1, all
	})
	load.awaitProgress("with one replica, unseen by the platform")
	wire.mend()
	p.Await("seen", "another replica", func(f api.Function) bool {
		return f.Ready == 2 && f.Failure != nil && f.Failure.Cause == events.CausePodDeleted && f.Failure.Replica == gone.Name
	})
	accepted, tried := load.stop()
	for id, rec := range p.AwaitRecords("seen", accepted) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	checkOneRecordEach(t, p, "seen", len(accepted), tried)
}

// fewSyncs is how many syncs a function that waits for a quota may cost in quotaWatched: one in four seconds, once it
// has waited for a while, and what the decisions of its demand are.
const (
	quotaWatched = 12 * time.Second
	fewSyncs     = 8
)

// TestKubernetesQuotaExceeded runs a function beyond a namespace's quota: it says so, waits without haste, and goes on
// when the quota grows.
func TestKubernetesQuotaExceeded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	p := c.platform(t, harness.Options{})
	p.Start()
	grow := c.quota(t, "0")
	f := p.Function("poor")
	f.Spec.Queue.Deadline = functions.Duration(10 * time.Minute)
	p.Apply(f)
	id := p.MustPublish(p.JetStream(), "poor", functions.Standard, "x")
	awaitSaid(t, p, "poor", "exceeded quota: gpus")

	harness.Hold(t, 8*time.Second, "it waits", func() (bool, any) { return len(c.pods(t)) == 0, c.pods(t) }) // till it has backed off
	was := metric(t, p, "stoker_syncs_total")
	harness.Hold(t, quotaWatched, "it waits", func() (bool, any) { return len(c.pods(t)) == 0, c.pods(t) })
	if n := metric(t, p, "stoker_syncs_total") - was; n > fewSyncs || n == 0 {
		t.Errorf("%v syncs in %v, want 1 to %d", n, quotaWatched, fewSyncs)
	}
	awaitSaid(t, p, "poor", "exceeded quota: gpus")
	grow("1")
	if rec := p.AwaitRecords("poor", []string{id})[id]; rec.Status != events.StatusOK || rec.Attempt != 1 {
		t.Errorf("%s at attempt %d: %s", rec.Status, rec.Attempt, rec.Message)
	}
	p.AwaitZero("poor")
	if f := p.Get("poor"); f.Failure != nil {
		t.Errorf("a start without room counts as failed: %+v", f.Failure)
	}
}

// quota gives the functions' namespace so many GPUs, and waits until that counts; the result gives it others.
func (c *cluster) quota(t *testing.T, gpus string) (grow func(gpus string)) {
	t.Helper()
	quotas := c.Client().CoreV1().ResourceQuotas(harness.Namespace)
	hard := func(gpus string) *corev1.ResourceQuota {
		return &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "gpus"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"requests.nvidia.com/gpu": resource.MustParse(gpus)}},
		}
	}
	if _, err := quotas.Create(t.Context(), hard(gpus), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the quota counts", func() (bool, any) {
		q, err := quotas.Get(t.Context(), "gpus", metav1.GetOptions{})
		return err == nil && len(q.Status.Hard) > 0, err
	})
	return func(gpus string) {
		if _, err := quotas.Update(t.Context(), hard(gpus), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// metric reads one counter without labels.
func metric(t *testing.T, p *harness.Platform, name string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(metrics(t, p))
	if m == nil {
		t.Fatalf("no metric %s", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestKubernetesNodeDeleted deletes the node under a replica: until the cluster has collected the Pod nobody knows what
// it does, and then another node has the replica.
func TestKubernetesNodeDeleted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	other := c.hostNode(t, "other", 1)
	p := c.platform(t, harness.Options{})
	p.Start()
	f := p.Function("moved", "-delay", "20ms")
	f.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 4}
	f.Spec.Queue.Depth = functions.Depth{Interactive: 10_000, Standard: 10_000, Batch: 10_000} // all that comes until then
	f.Spec.Queue.Deadline = functions.Duration(time.Hour)
	p.Apply(f)
	was := p.Await("moved", "ready", func(f api.Function) bool { return f.Ready == 1 }).Replicas[0]
	load := startLoad(t, p, "moved")
	load.awaitProgress("before the node goes")
	c.DeleteNode(t, was.Node)
	// The garbage collector waits 40 s to 60 s.
	harness.EventuallyWithin(t, 2*harness.Patience, "the replica elsewhere", func() (bool, any) {
		f := p.Get("moved")
		return f.Ready == 1 && f.Replicas[0].ID != was.ID && f.Replicas[0].Node != was.Node, f.Replicas
	})
	load.awaitProgress("on the other node")
	accepted, tried := load.stop()
	for id, rec := range p.AwaitRecords("moved", accepted) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	checkOneRecordEach(t, p, "moved", len(accepted), tried)
	if f := p.Get("moved"); f.Failure == nil || f.Failure.Cause != events.CauseNodeLost {
		t.Errorf("the cause is %+v, want %s", f.Failure, events.CauseNodeLost)
	}
	awaitSaid(t, p, "moved", events.CauseNodeLost)
	if was.Node == other.Name == (p.Get("moved").Replicas[0].Node == other.Name) {
		t.Errorf("it was on %s and is on %s", was.Node, p.Get("moved").Replicas[0].Node)
	}
}

// TestKubernetesGPUsHeldByOthers fills 24 GPUs with Pods that are not ours: a function waits, knows who has them, and
// starts when one of them goes.
func TestKubernetesGPUsHeldByOthers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 8)
	c.AddNodes(t, kubetest.NodeSpec{Count: 2, Name: "sim"})
	p := c.platform(t, harness.Options{})
	p.Start()
	hog := p.Function("hog") // ours, and among the holders
	hog.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 4}
	hog.Spec.Resources.Products = []string{hostProduct}
	p.Apply(hog)
	p.Await("hog", "ready", func(f api.Function) bool { return f.Ready == 1 })
	for i, x := range []struct {
		node string
		gpus int64
	}{{"sim-0", 8}, {"sim-1", 8}, {hostNode, 4}, {hostNode, 3}} {
		c.hold(t, fmt.Sprint("research-", i), x.node, x.gpus)
	}
	harness.Eventually(t, "all GPUs are known to be held", func() (bool, any) {
		st, err := p.API.Platform(t.Context())
		return err == nil && st.Capacity == 24 && st.Free == 0, fmt.Sprint(st, err)
	})
	f := p.Function("chat")
	f.Spec.Queue.Deadline = functions.Duration(10 * time.Minute)
	p.Apply(f)
	id := p.MustPublish(p.JetStream(), "chat", functions.Standard, "x")
	awaitSaid(t, p, "chat", "waits for a GPU, held by", "Pod default/research-2", "Pod default/research-0", "function default/hog", "0 of 24 free")
	p.Await("chat", "waiting", func(f api.Function) bool { return f.Phase == scale.PhaseWaiting })
	harness.Hold(t, 3*time.Second, "no Pod beyond what is free", func() (bool, any) { return len(c.pods(t)) == 1, names(c.pods(t)) })
	if err := c.Client().CoreV1().Pods(harness.Namespace).Delete(t.Context(), "research-3", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if rec := p.AwaitRecords("chat", []string{id})[id]; rec.Status != events.StatusOK || rec.Attempt != 1 {
		t.Errorf("%s at attempt %d: %s", rec.Status, rec.Attempt, rec.Message)
	}
	if got := p.Conflicts(); len(got) > 0 {
		t.Errorf("a GPU had two holders: %+v", got)
	}
	if f := p.Get("chat"); f.Failure != nil {
		t.Errorf("waiting counts as failed: %+v", f.Failure)
	}
}

// TestKubernetesPodStuckTerminating keeps a container from dying: its lease stays, and nobody else gets the GPU.
func TestKubernetesPodStuckTerminating(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	p := c.platform(t, harness.Options{})
	p.Start()
	old := p.Function("old")
	old.Spec.Scaling.KeepAlive = "10m"
	old.Spec.Runtime.Drain.Grace = functions.Duration(time.Second)
	next := p.Function("next")
	next.Spec.Queue.Deadline = functions.Duration(10 * time.Minute)
	p.Apply(old, next)
	mustInvoke(t, p, "old", "x")
	stuck := p.Running(harness.ModelServer)[0]
	keeper := parentOf(t, stuck.PID) // passes signals on, as a container runtime does
	harness.Signal(t, keeper, unix.SIGSTOP)
	if err := p.API.Pause(t.Context(), harness.Key("old"), true); err != nil {
		t.Fatal(err)
	}
	id := p.MustPublish(p.JetStream(), "next", functions.Standard, "x")
	p.Await("next", "waiting for the GPU", func(f api.Function) bool { return f.Phase == scale.PhaseWaiting })
	harness.Eventually(t, "its grace is over", func() (bool, any) {
		pod := c.pods(t)[0]
		return pod.DeletionTimestamp != nil && time.Now().After(pod.DeletionTimestamp.Time), pod.DeletionTimestamp
	})
	awaitSaid(t, p, "next", "default/old")
	harness.Hold(t, 5*time.Second, "the lease of a Pod that does not end", func() (bool, any) {
		st, err := p.API.Platform(t.Context())
		return err == nil && st.Free == 0 && len(st.Leases) == 1 && len(p.Running(harness.ModelServer)) == 1, fmt.Sprint(st.Leases, err)
	})
	harness.Signal(t, keeper, unix.SIGCONT)
	if rec := p.AwaitRecords("next", []string{id})[id]; rec.Status != events.StatusOK || rec.Attempt != 1 {
		t.Errorf("%s at attempt %d: %s", rec.Status, rec.Attempt, rec.Message)
	}
	if got := p.Conflicts(); len(got) > 0 {
		t.Errorf("the GPU had two holders: %+v", got)
	}
}

// parentOf reads a process's parent.
func parentOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^PPid:\s+(\d+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no parent in %s", text)
	}
	parent, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return parent
}

// TestKubernetesImageNotPulled names an image that nobody has: the cause is there while the Pod waits, and after it was
// given up.
func TestKubernetesImageNotPulled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	p := c.platform(t, harness.Options{})
	p.Start()
	f := p.Function("absent")
	f.Spec.Runtime.Image = "e2e.example/nowhere:1"
	f.Spec.Runtime.Ready.Timeout = functions.Duration(30 * time.Second)
	p.Apply(f)
	id := p.MustPublish(p.JetStream(), "absent", functions.Standard, "x")
	harness.Eventually(t, "the cause while it waits", func() (bool, any) {
		text := stoker(t, p, "explain", "absent")
		return strings.Contains(text, "waits: "+events.CauseImagePull+": ") && strings.Contains(text, "e2e.example/nowhere:1"), text
	})
	got := p.Await("absent", "given up", func(f api.Function) bool { return f.Failure != nil })
	if got.Failure.Cause != events.CauseImagePull || !strings.Contains(got.Failure.Message, "e2e.example/nowhere:1") {
		t.Errorf("given up for %+v", got.Failure)
	}
	f.Spec.Runtime.Image = serverImage // and the same request is answered by the manifest that is right
	p.Apply(f)
	if rec := p.AwaitRecords("absent", []string{id})[id]; rec.Status != events.StatusOK {
		t.Errorf("%s (%s): %s", rec.Status, rec.Cause, rec.Message)
	}
}

// hold makes a Pod of somebody else that has GPUs of a node, and waits until it runs.
func (c *cluster) hold(t *testing.T, name, node string, gpus int64) {
	t.Helper()
	pods := c.Client().CoreV1().Pods(harness.Namespace)
	_, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelHostname: node}, TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{Name: "main", Image: holderImage, Resources: corev1.ResourceRequirements{
				Limits: corev1.ResourceList{kubernetes.ResourceGPU: *resource.NewQuantity(gpus, resource.DecimalSI)},
			}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, name+" runs", func() (bool, any) {
		pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning, err
	})
}
