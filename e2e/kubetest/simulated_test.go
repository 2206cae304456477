package kubetest_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/e2e/kubetest"
)

// TestSimulatedPodsFailAsTheyAreTold goes through the annotations.
func TestSimulatedPodsFailAsTheyAreTold(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	with := func(name string, annotations map[string]string) {
		pod := gpuPod(name)
		pod.Annotations = annotations
		create(t, c, pod)
	}
	t.Run("start after", func(t *testing.T) {
		with("slow", map[string]string{kubetest.StartAfter: "1s"})
		waiting := waitPod(t, c, "slow", "waits for its containers", func(p *corev1.Pod) bool {
			s := p.Status.ContainerStatuses
			return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "ContainerCreating"
		})
		if waiting.Status.Phase != corev1.PodPending {
			t.Errorf("a Pod without containers is %s", waiting.Status.Phase)
		}
		waitPod(t, c, "slow", "is ready", ready)
	})
	t.Run("crash", func(t *testing.T) {
		with("crashes", map[string]string{kubetest.CrashAfter: "10ms", kubetest.ExitCode: "3"})
		wantEnd(t, c, "crashes", corev1.PodFailed, 3, "Error")
	})
	t.Run("complete", func(t *testing.T) {
		with("completes", map[string]string{kubetest.CrashAfter: "10ms", kubetest.ExitCode: "0"})
		wantEnd(t, c, "completes", corev1.PodSucceeded, 0, "Completed")
	})
	t.Run("out of memory", func(t *testing.T) {
		with("greedy", map[string]string{kubetest.CrashAfter: "10ms", kubetest.OOM: "true"})
		wantEnd(t, c, "greedy", corev1.PodFailed, 137, "OOMKilled")
	})
	t.Run("image", func(t *testing.T) {
		with("imageless", map[string]string{kubetest.ImagePullError: "no such image"})
		waitPod(t, c, "imageless", "says what is wrong with the image", func(p *corev1.Pod) bool {
			s := p.Status.ContainerStatuses
			return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "ImagePullBackOff" &&
				s[0].State.Waiting.Message == "no such image"
		})
		remove(t, c, "imageless")
		waitGone(t, c, "imageless")
	})
	t.Run("stuck", func(t *testing.T) {
		with("stuck", map[string]string{kubetest.IgnoreDelete: "true"})
		waitPod(t, c, "stuck", "is ready", ready)
		remove(t, c, "stuck")
		got := waitPod(t, c, "stuck", "is being deleted", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
		if got.Status.ContainerStatuses[0].State.Running == nil {
			t.Errorf("its container does not run on: %+v", got.Status)
		}
		free := []byte(`{"metadata":{"annotations":{"` + kubetest.IgnoreDelete + `":null}}}`)
		if _, err := c.Client().CoreV1().Pods("default").Patch(t.Context(), "stuck", types.MergePatchType, free, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		waitGone(t, c, "stuck")
	})
	t.Run("stop after", func(t *testing.T) {
		with("lingers", map[string]string{kubetest.StopAfter: "500ms"})
		waitPod(t, c, "lingers", "is ready", ready)
		began := time.Now()
		remove(t, c, "lingers")
		waitGone(t, c, "lingers")
		if took := time.Since(began); took < 500*time.Millisecond {
			t.Errorf("it was gone after %s, want half a second at least", took)
		}
	})
}

func wantEnd(t *testing.T, c *kubetest.Cluster, name string, phase corev1.PodPhase, code int32, reason string) {
	t.Helper()
	got := waitPod(t, c, name, "has ended", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	})
	end := got.Status.ContainerStatuses[0].State.Terminated
	if got.Status.Phase != phase || end == nil || end.ExitCode != code || end.Reason != reason {
		t.Errorf("it is %s and its container %+v, want %s, %d and %s", got.Status.Phase, end, phase, code, reason)
	}
	if side := got.Status.InitContainerStatuses[0].State; side.Terminated == nil {
		t.Errorf("its sidecar is %+v, want it ended", side)
	}
}

func TestNodesAreCordonedTaintedLostAndDeleted(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{})
	c.AddNodes(t, kubetest.NodeSpec{Name: "a"})
	c.Cordon(t, "a-0")
	create(t, c, gpuPod("first"))
	waitPod(t, c, "first", "fits nowhere", unschedulable)
	c.AddNodes(t, kubetest.NodeSpec{Name: "b", GPUs: 2})
	if got := waitPod(t, c, "first", "is ready", ready); got.Spec.NodeName != "b-0" {
		t.Errorf("it was put on node %s, which is cordoned", got.Spec.NodeName)
	}
	greedy := gpuPod("greedy")
	greedy.Spec.Containers[0].Resources.Limits[kubetest.GPUResource] = resource.MustParse("2")
	create(t, c, greedy)
	waitPod(t, c, "greedy", "fits nowhere", unschedulable)
	c.Uncordon(t, "a-0")
	waitPod(t, c, "greedy", "is ready", ready)

	taint := corev1.Taint{Key: "example.com/broken", Effect: corev1.TaintEffectNoExecute}
	c.Taint(t, "a-0", taint)
	waitGone(t, c, "greedy")
	c.Untaint(t, "a-0", taint.Key)

	if err := c.Client().CoreV1().Pods("default").EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "first"}}); err != nil {
		t.Fatal(err)
	}
	waitGone(t, c, "first")

	create(t, c, onNode(gpuPod("kept"), "b-0"))
	waitPod(t, c, "kept", "is ready", ready)
	c.FailNode(t, "b-0")
	c.WaitNode(t, "b-0", false)
	waitPod(t, c, "kept", "is not ready any more", func(p *corev1.Pod) bool { return !ready(p) })
	c.ReturnNode(t, "b-0")
	c.WaitNode(t, "b-0", true)
	waitPod(t, c, "kept", "is ready again", ready)
	c.DeleteNode(t, "b-0")
	if nodes, err := c.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil || len(nodes.Items) != 1 {
		t.Errorf("%d nodes are left (%v), want one", len(nodes.Items), err)
	}
}

func onNode(pod *corev1.Pod, node string) *corev1.Pod {
	pod.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	return pod
}

func unschedulable(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled {
			return condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}

func TestEachProgramIsKilledAndComesBack(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	for _, role := range []kubetest.Role{kubetest.KWOK, kubetest.ControllerManager, kubetest.Scheduler, kubetest.APIServer, kubetest.Etcd} {
		t.Run(string(role), func(t *testing.T) {
			c.Kill(t, role)
			if left := pids(t, c, role); len(left) != 0 {
				t.Fatalf("%s still runs as %d", role, left)
			}
			c.StartRole(t, role)
			name := "after-" + string(role)
			kubetest.Eventually(t, "a Pod can be created", func(ctx context.Context) (bool, any) {
				_, err := c.Client().CoreV1().Pods("default").Create(ctx, gpuPod(name), metav1.CreateOptions{})
				return err == nil, err
			})
			waitPod(t, c, name, "is ready", ready)
		})
	}
	t.Run("suspend", func(t *testing.T) {
		c.Suspend(t, kubetest.Scheduler)
		create(t, c, gpuPod("waits"))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		<-ctx.Done()
		if got := waitPod(t, c, "waits", "is there", func(*corev1.Pod) bool { return true }); got.Spec.NodeName != "" {
			t.Errorf("a stopped scheduler put it on %s", got.Spec.NodeName)
		}
		c.Resume(t, kubetest.Scheduler)
		waitPod(t, c, "waits", "is ready", ready)
	})
}
