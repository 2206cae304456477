package kubernetes

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

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
	r.Spec.Runtime.Ready.Timeout = functions.Duration(30 * time.Second)
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

// lateKubelet says that a Pod runs some seconds after it was overdue. It is not given up for that.
func lateKubelet(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := replica("default", "gpu-0", "gpu-00")
	r.Spec.Runtime.Ready.Timeout = functions.Duration(15 * time.Second)
	c.Suspend(t, kubetest.Scheduler) // until the node is told to wait
	if err := p.Start(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	note(t, c.Client(), r.ID, kubetest.StartAfter, "20s")
	c.Resume(t, kubetest.Scheduler)
	await(t, p, r.ID, activities.RunRunning)
}

func outOfMemory(t *testing.T, c *kubetest.Cluster, p *provider.Provider) {
	r := started(t, p, replica("default", "gpu-0", "gpu-00"))
	note(t, c.Client(), r.ID, kubetest.OOM, "true")
	note(t, c.Client(), r.ID, kubetest.CrashAfter, "1ms")
	end(t, p, r.ID, events.CauseOutOfMemory, "spec.resources.memory")
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
