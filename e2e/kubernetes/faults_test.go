package kubernetes

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	client "k8s.io/client-go/kubernetes"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// numbers make IDs that no other test has used: an ID runs at most once.
var numbers atomic.Int64

// replica is one of one GPU on a node of a cluster; without a node the scheduler chooses.
func replica(namespace, node, device string) activities.ReplicaSpec {
	f := functions.Default(functions.Function{
		Metadata: functions.Metadata{Name: "chat", Namespace: namespace},
		Spec:     functions.Spec{Runtime: functions.Runtime{Image: "example/chat"}, Resources: functions.Resources{GPUs: 1}},
	})
	r := activities.ReplicaSpec{
		ID: fmt.Sprintf("chat-%d", numbers.Add(1)), Key: f.Key(), Revision: "r1", Spec: f.Spec,
		Lease: scale.Lease{Epoch: 1, Node: node}, Agent: events.AgentConfig{Stream: events.ShardStream(0)},
	}
	if device != "" {
		r.Lease.Devices = []string{device}
	}
	return r
}

// started starts a replica on a node and waits until it runs.
func started(t testing.TB, p activities.Provider, r activities.ReplicaSpec) activities.ReplicaSpec {
	t.Helper()
	if err := p.Start(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	await(t, p, r.ID, activities.RunRunning)
	return r
}

func await(t testing.TB, p activities.Provider, id string, want activities.RunState) activities.ReplicaStatus {
	t.Helper()
	eventually(t, id+" is "+string(want), func() bool { return status(t, p, id).State == want })
	return status(t, p, id)
}

// gone stops a replica and forgets it.
func gone(t testing.TB, p activities.Provider, id string) {
	t.Helper()
	if err := p.Stop(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	await(t, p, id, activities.RunGone)
	if err := p.Forget(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// end checks how a replica ended.
func end(t testing.TB, p activities.Provider, id, cause, message string) {
	t.Helper()
	s := await(t, p, id, activities.RunGone)
	if s.Cause != cause || !strings.Contains(s.Message, message) || s.Ended.IsZero() {
		t.Errorf("ended by %q: %q at %v; want %q: %q", s.Cause, s.Message, s.Ended, cause, message)
	}
}

func TestClusterFaults(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 3, Spec: kubetest.NodeSpec{Name: "gpu", GPUs: 8}})
	for _, f := range []struct {
		name string
		test func(*testing.T, *kubetest.Cluster, *provider.Provider)
	}{
		{"APodDeletedByHand", podDeleted},
		{"APodForcedAway", podForced},
		{"APodNotedToGoAndNotAsked", podNoted},
		{"APodWhoseLabelIsTaken", labelTaken},
		{"APodEvicted", podEvicted},
		{"APodPreempted", podPreempted},
		{"APodEvictedByATaint", podTainted},
		{"APodStuckTerminating", podStuck},
		{"AnImageThatCannotBePulled", imagePull},
		{"OutOfMemory", outOfMemory},
		{"QuotaExceeded", quotaExceeded},
		{"NoSuchNamespace", noNamespace},
		{"RefusedByItsNode", refusedByNode},
		{"TwentyFourGPUsOversubscribed", oversubscribed},
		{"AConflictStorm", conflictStorm},
		{"ALateStart", lateStart},
		{"ACordonedNode", cordoned},
		{"APodOfTheSameName", sameName},
		{"TheAPIServerIsAway", apiServerAway},
		{"TheWatchIsCut", watchCut},
		{"ANodeIsLostAndReturns", nodeLost},
		{"ANodeIsDeleted", nodeDeleted}, // last: it takes a node away
	} {
		t.Run(f.name, func(t *testing.T) {
			p := open(t, c, provider.Options{})
			f.test(t, c, p)
			clean(t, c, p)
		})
	}
}

// clean ends and forgets what a test left, and sees that nothing stays.
func clean(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	t.Helper()
	all, err := p.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		gone(t, p, s.ID)
	}
	settled(t, c)
}

func podDeleted(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	if err := c.Client().CoreV1().Pods("default").Delete(t.Context(), r.ID, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	end(t, p, r.ID, events.CausePodDeleted, "somebody else")
}

// podForced deletes a Pod as kubectl delete --force does. The API server would forget it while it runs.
func podForced(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	if err := c.Client().CoreV1().Pods("default").Delete(t.Context(), r.ID, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		t.Fatal(err)
	}
	end(t, p, r.ID, events.CausePodDeleted, "somebody else")
}

// podNoted is a Pod whose platform died between the two calls of an end.
func podNoted(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	note(t, c.Client(), r.ID, provider.AnnotationAsked, provider.AskedDrain)
	await(t, p, r.ID, activities.RunStopping)
	end(t, p, r.ID, events.CauseDrained, "")
}

// labelTaken takes our label off a Pod that runs: it is no less ours.
func labelTaken(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:null}}}`, provider.LabelPool)
	if _, err := c.Client().CoreV1().Pods("default").Patch(t.Context(), r.ID, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the label is back", func() bool {
		pod, err := c.Client().CoreV1().Pods("default").Get(t.Context(), r.ID, metav1.GetOptions{})
		return err == nil && pod.Labels[provider.LabelPool] == "default"
	})
	if s := status(t, p, r.ID); s.State != activities.RunRunning {
		t.Errorf("it is %s", s.State)
	}
}

func podEvicted(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	err := c.Client().CoreV1().Pods("default").EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: r.ID, Namespace: "default"}})
	if err != nil {
		t.Fatal(err)
	}
	end(t, p, r.ID, events.CauseEvicted, "EvictionByEvictionAPI")
}

func podPreempted(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "urgent"}, Value: 1000}
	if _, err := c.Client().SchedulingV1().PriorityClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	pods := c.Client().CoreV1().Pods("default")
	q := resource.MustParse("8")
	urgent, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "urgent"},
		Spec: corev1.PodSpec{
			PriorityClassName: "urgent", NodeSelector: map[string]string{corev1.LabelHostname: "gpu-0"},
			Containers: []corev1.Container{{Name: "main", Image: "urgent", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{provider.ResourceGPU: q}}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, c.Client(), urgent) })
	end(t, p, r.ID, events.CausePreempted, "PreemptionByScheduler")
}

func podTainted(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-1", "gpu-00"))
	c.Taint(t, "gpu-1", corev1.Taint{Key: "maintenance", Effect: corev1.TaintEffectNoExecute})
	end(t, p, r.ID, events.CauseEvicted, "DeletionByTaintManager")
	c.Untaint(t, "gpu-1", "maintenance")
}

// podStuck keeps a Pod from ending: its lease must stay, and no one else may have its GPU.
func podStuck(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	note(t, c.Client(), r.ID, kubetest.IgnoreDelete, "true")
	if err := p.Stop(t.Context(), r.ID, 0); err != nil {
		t.Fatal(err)
	}
	await(t, p, r.ID, activities.RunStopping)
	never(t, "a Pod that still runs is gone", func() bool { return status(t, p, r.ID).State == activities.RunGone })
	if err := p.Forget(t.Context(), r.ID); !errors.Is(err, activities.ErrStillRunning) {
		t.Errorf("forgetting what runs: %v", err)
	}
	note(t, c.Client(), r.ID, kubetest.IgnoreDelete, nil)
	end(t, p, r.ID, events.CauseKilled, "")
}

func imagePull(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := replica("default", "gpu-0", "gpu-00")
	r.Spec.Runtime.Ready.Timeout = functions.Duration(10 * time.Second)
	c.Suspend(t, kubetest.Scheduler) // until the node is told that it cannot pull
	if err := p.Start(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	note(t, c.Client(), r.ID, kubetest.ImagePullError, "no such image")
	c.Resume(t, kubetest.Scheduler)
	eventually(t, "the cause is told while it waits", func() bool {
		s := status(t, p, r.ID)
		return s.State == activities.RunStarting && s.Cause == events.CauseImagePull && strings.Contains(s.Message, "no such image")
	})
	end(t, p, r.ID, events.CauseImagePull, "no such image") // given up after its ready.timeout
}

func outOfMemory(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	note(t, c.Client(), r.ID, kubetest.OOM, "true")
	note(t, c.Client(), r.ID, kubetest.CrashAfter, "1ms")
	end(t, p, r.ID, events.CauseOutOfMemory, "spec.resources.memory")
}

func quotaExceeded(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	ns := c.Namespace(t, "poor")
	quotas := c.Client().CoreV1().ResourceQuotas(ns)
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "gpus"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{"requests.nvidia.com/gpu": resource.MustParse("1")},
	}}
	if _, err := quotas.Create(t.Context(), q, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quota counts", func() bool {
		now, err := quotas.Get(t.Context(), "gpus", metav1.GetOptions{})
		return err == nil && len(now.Status.Hard) > 0
	})
	first := started(t, p, replica(ns, "gpu-0", "gpu-00"))
	second := replica(ns, "gpu-0", "gpu-01")
	if err := p.Start(t.Context(), second); !errors.Is(err, activities.ErrNotNow) || !strings.Contains(err.Error(), "exceeded quota: gpus") {
		t.Errorf("beyond the quota: %v", err)
	}
	if s := status(t, p, second.ID); s.ID != "" {
		t.Errorf("a refused start left %+v", s)
	}
	gone(t, p, first.ID)
	eventually(t, "a later start has room", func() bool { return p.Start(t.Context(), second) == nil })
	await(t, p, second.ID, activities.RunRunning)
}

func noNamespace(t *testing.T, _ *kubetest.Cluster, p *provider.Provider) {
	err := p.Start(t.Context(), replica("nowhere", "gpu-0", "gpu-00"))
	if !errors.Is(err, activities.ErrBadSpec) || !strings.Contains(err.Error(), "kubectl create namespace nowhere") {
		t.Errorf("no such namespace: %v", err)
	}
}

// refusedByNode is a start on a node that somebody else has filled since it was placed.
func refusedByNode(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	hold(t, c, "gpu-0", 8, "example/other")
	eventually(t, "eight foreign holders are seen", func() bool { return foreign(t, p) == 8 })
	r := replica("default", "gpu-0", "gpu-00")
	if err := p.Start(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cause is told while it waits", func() bool {
		s := status(t, p, r.ID)
		return s.State == activities.RunStarting && s.Cause == events.CauseUnschedulable && strings.Contains(s.Message, "Insufficient nvidia.com/gpu")
	})
	end(t, p, r.ID, events.CauseUnschedulable, "Insufficient nvidia.com/gpu")
}

// oversubscribed asks for 40 GPUs of 24, some of which others hold, through the ledger: as many start
// as there are, all of them run, and none holds what another does.
func oversubscribed(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	hold(t, c, "gpu-2", 3, "example/other")
	eventually(t, "three foreign holders are seen", func() bool { return foreign(t, p) == 3 })
	inv, err := p.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Devices) != 24 {
		t.Fatalf("%d devices, want 24", len(inv.Devices))
	}
	var l scale.Ledger
	l.SetInventory(inv.Nodes, inv.Devices, time.Now())
	var wg sync.WaitGroup
	var ids []string
	for range 40 {
		r := replica("default", "", "")
		lease, err := l.Reserve(scale.Ask{Holder: r.ID, Owner: "test", GPUs: 1}, time.Hour, time.Now())
		if err != nil {
			continue
		}
		r.Lease = lease
		ids = append(ids, r.ID)
		wg.Go(func() {
			if err := p.Start(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(ids) != 21 {
		t.Errorf("%d were placed, want 21", len(ids))
	}
	for _, id := range ids {
		await(t, p, id, activities.RunRunning)
	}
	inv, err = p.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.SetInventory(inv.Nodes, inv.Devices, time.Now())
	if u := l.Usage(); u.Free != 0 || u.Foreign != 3 {
		t.Errorf("at the end: %+v", u)
	}
}

// conflictStorm changes Pods all the time while they are started, fenced, stopped and forgotten.
func conflictStorm(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	var ids []string
	var specs []activities.ReplicaSpec
	for i := range 8 {
		r := started(t, p, replica("default", "gpu-0", fmt.Sprintf("gpu-%02d", i)))
		ids, specs = append(ids, r.ID), append(specs, r)
	}
	done := make(chan struct{})
	var storm sync.WaitGroup
	defer storm.Wait()
	defer close(done)
	for _, id := range ids {
		storm.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"storm":"%d"}}}`, i)
					_, _ = c.Client().CoreV1().Pods("default").Patch(t.Context(), id, types.MergePatchType, patch, metav1.PatchOptions{}) // it may be gone
				}
			}
		})
	}
	for _, r := range specs {
		r.Lease.Epoch++
		if err := p.Start(t.Context(), r); err != nil {
			t.Errorf("a newer epoch: %v", err)
		}
	}
	for _, id := range ids {
		gone(t, p, id)
	}
}

// lateStart is a Pod that a dead platform's last call creates after its replica was stopped.
func lateStart(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := replica("default", "gpu-0", "gpu-00")
	if err := p.Stop(t.Context(), r.ID, 0); err != nil {
		t.Fatal(err)
	}
	dead := open(t, c, provider.Options{Namespace: c.Namespace(t, "another")}) // it has not read what is stopped
	if err := dead.Start(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s := await(t, p, r.ID, activities.RunGone)
	if s.Cause != events.CauseKilled && s.Cause != events.CauseDrained {
		t.Errorf("a late start ended by %q", s.Cause)
	}
	if err := dead.Close(); err != nil {
		t.Error(err)
	}
}

func cordoned(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-1", "gpu-00"))
	c.Cordon(t, "gpu-1")
	eventually(t, "nothing more is placed there", func() bool {
		inv, err := p.Inventory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		usable := 0
		for _, d := range inv.Devices {
			if d.Node == "gpu-1" && d.Healthy {
				usable++
			}
		}
		return usable == 0 && len(inv.Nodes) == 3
	})
	if s := status(t, p, r.ID); s.State != activities.RunRunning {
		t.Errorf("what runs on a cordoned node is %s", s.State)
	}
	c.Uncordon(t, "gpu-1")
}

func sameName(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := replica("default", "gpu-0", "gpu-00")
	pods := c.Client().CoreV1().Pods("default")
	other, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: r.ID}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "other"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, c.Client(), other) })
	if err := p.Start(t.Context(), r); !errors.Is(err, activities.ErrBadSpec) || !strings.Contains(err.Error(), "somebody else's") {
		t.Errorf("a name that is taken: %v", err)
	}
}

// apiServerAway kills the API server for a while: what runs is known to run, nothing is gone, and
// starts and stops work again once it is back.
func apiServerAway(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	c.Kill(t, kubetest.APIServer)
	next := replica("default", "gpu-0", "gpu-01")
	if err := p.Start(t.Context(), next); err == nil {
		t.Error("a start was taken without an API server")
	}
	if err := p.Stop(t.Context(), r.ID, 0); err == nil {
		t.Error("a stop was taken without an API server")
	}
	never(t, "what runs is not known to run", func() bool { return status(t, p, r.ID).State != activities.RunRunning })
	if inv, err := p.Inventory(t.Context()); err != nil || len(inv.Devices) != 24 {
		t.Errorf("without an API server there are %d devices: %v", len(inv.Devices), err)
	}
	c.StartRole(t, kubetest.APIServer)
	eventually(t, "a start works again", func() bool { return p.Start(t.Context(), next) == nil })
	await(t, p, next.ID, activities.RunRunning)
}

// watchCut cuts the watch alone, and changes things meanwhile.
func watchCut(t *testing.T, c *kubetest.Cluster, _ *provider.Provider) {
	config := c.RESTConfig()
	var blocked atomic.Bool
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if blocked.Load() {
				return nil, errors.New("cut")
			}
			return next.RoundTrip(r)
		})
	}
	cut, err := client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, c, provider.Options{Client: cut, Pool: "cut"})
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	other := started(t, p, replica("default", "gpu-0", "gpu-01"))
	blocked.Store(true)
	c.Kill(t, kubetest.APIServer) // what is open is cut, and cannot be opened again
	c.StartRole(t, kubetest.APIServer)
	if err := c.Client().CoreV1().Pods("default").Delete(t.Context(), r.ID, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Pod ends", func() bool {
		pod, err := c.Client().CoreV1().Pods("default").Get(t.Context(), r.ID, metav1.GetOptions{})
		return err == nil && (pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded)
	})
	if s := status(t, p, r.ID); s.State != activities.RunRunning {
		t.Errorf("with its watch cut the provider knows that it is %s", s.State)
	}
	blocked.Store(false)
	end(t, p, r.ID, events.CausePodDeleted, "")
	if s := status(t, p, other.ID); s.State != activities.RunRunning {
		t.Errorf("the other one is %s", s.State)
	}
	clean(t, c, p)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func nodeLost(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-1", "gpu-00"))
	c.FailNode(t, "gpu-1")
	await(t, p, r.ID, activities.RunUnknown)
	if inv, err := p.Inventory(t.Context()); err != nil || len(inv.Nodes) != 2 {
		t.Errorf("the lost node is listed: %q, %v", inv.Nodes, err)
	}
	never(t, "unreachable is taken for failed", func() bool { return status(t, p, r.ID).State != activities.RunUnknown })
	c.ReturnNode(t, "gpu-1")
	await(t, p, r.ID, activities.RunRunning)
}

// nodeDeleted takes a node away: its Pods go with the cluster's garbage collector, after up to a
// minute, and until then nobody knows what they do.
func nodeDeleted(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-2", "gpu-00"))
	c.DeleteNode(t, "gpu-2")
	await(t, p, r.ID, activities.RunUnknown)
	deadline := time.Now().Add(2 * patience)
	for status(t, p, r.ID).State != activities.RunGone && time.Now().Before(deadline) {
		pause(t.Context())
	}
	end(t, p, r.ID, events.CauseNodeLost, "DeletionByPodGC")
}

// note writes an annotation on a Pod of the default namespace; nil removes it.
func note(t testing.TB, c client.Interface, pod, key string, value any) {
	t.Helper()
	text := "null"
	if value != nil {
		text = fmt.Sprintf("%q", value)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, key, text)
	if _, err := c.CoreV1().Pods("default").Patch(t.Context(), pod, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// never fails if bad comes true within a short while.
func never(t testing.TB, what string, bad func() bool) {
	t.Helper()
	for until := time.Now().Add(calm); time.Now().Before(until); pause(t.Context()) {
		if bad() {
			t.Fatal(what)
		}
	}
}
