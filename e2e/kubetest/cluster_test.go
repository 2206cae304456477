package kubetest_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/e2e/kubetest"
)

func TestSimulatedPodsRunAndGoLikeAKubeletsDo(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 2})
	pods := c.Client().CoreV1().Pods("default")
	pod := gpuPod("served")
	pod.Finalizers = []string{"example.com/kept"}
	if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := waitPod(t, c, "served", "runs and is ready", func(p *corev1.Pod) bool { return ready(p) })
	if got.Status.Phase != corev1.PodRunning || got.Status.PodIP == "" || got.Status.InitContainerStatuses[0].State.Running == nil {
		t.Fatalf("status of a ready Pod: %+v", got.Status)
	}
	if err := pods.Delete(t.Context(), "served", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	got = waitPod(t, c, "served", "has ended and is deleted but for its finalizer", func(p *corev1.Pod) bool {
		return p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0
	})
	if end := got.Status.ContainerStatuses[0].State.Terminated; end == nil || end.FinishedAt.IsZero() {
		t.Fatalf("a Pod is deleted before its containers are seen to have ended: %+v", got.Status)
	}
	if len(got.Finalizers) != 1 {
		t.Fatalf("the finalizers of a deleted Pod are %q, want the one it was made with", got.Finalizers)
	}
	unpin := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := pods.Patch(t.Context(), "served", types.MergePatchType, unpin, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	waitGone(t, c, "served")
}

// gpuPod is a Pod with one GPU, with a native sidecar.
func gpuPod(name string) *corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy:  corev1.RestartPolicyNever,
			InitContainers: []corev1.Container{{Name: "side", Image: "example.com/side", RestartPolicy: &always}},
			Containers: []corev1.Container{{Name: "main", Image: "example.com/main", Resources: corev1.ResourceRequirements{
				Limits: corev1.ResourceList{kubetest.GPUResource: resource.MustParse("1")},
			}}},
		},
	}
}

func ready(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func waitPod(t *testing.T, c *kubetest.Cluster, name, what string, cond func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var got *corev1.Pod
	kubetest.Eventually(t, "Pod "+name+" "+what, func(ctx context.Context) (bool, any) {
		var err error
		got, err = c.Client().CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return cond(got), got.Status
	})
	return got
}

func waitGone(t *testing.T, c *kubetest.Cluster, name string) {
	t.Helper()
	kubetest.Eventually(t, "Pod "+name+" is gone", func(ctx context.Context) (bool, any) {
		pod, err := c.Client().CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), pod
	})
}

// processes lists what runs on this machine and has text among its arguments or variables, by process ID.
func processes(t *testing.T, text string) map[int]string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]string{}
	for _, path := range paths {
		line, err := os.ReadFile(path)
		env, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "environ"))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && strings.Contains(string(line)+string(env), text) {
			found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return found
}

// pids are the processes of one program of a cluster.
func pids(t *testing.T, c *kubetest.Cluster, role kubetest.Role) []int {
	t.Helper()
	var found []int
	for pid, line := range processes(t, filepath.Dir(c.Kubeconfig())+"/") {
		if strings.Contains(line, " "+string(role)+" ") {
			found = append(found, pid)
		}
	}
	return found
}

func TestAClusterStartsAndLeavesNothing(t *testing.T) {
	kubetest.Binary(t)
	var dir string
	t.Run("runs", func(t *testing.T) {
		c := kubetest.Start(t, kubetest.Options{Nodes: 3, Spec: kubetest.NodeSpec{GPUs: 4, Product: "NVIDIA-L40S", MemoryMiB: 46068}})
		dir = filepath.Dir(c.Kubeconfig())
		if len(processes(t, dir)) == 0 {
			t.Fatalf("no process names %s, so their end could not be seen either", dir)
		}
		nodes, err := c.Client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: kubetest.ProductLabel + "=NVIDIA-L40S"})
		if err != nil || len(nodes.Items) != 3 {
			t.Fatalf("%d nodes have the product's label, want 3 (%v)", len(nodes.Items), err)
		}
		if gpus := nodes.Items[0].Status.Allocatable[kubetest.GPUResource]; gpus.Value() != 4 {
			t.Errorf("%s GPUs are allocatable, want 4", gpus.String())
		}
	})
	if left := processes(t, dir); len(left) != 0 {
		t.Errorf("left after the test: %v", left)
	}
}

func TestAProgramThatEndsByItselfIsToldOf(t *testing.T) {
	kubetest.Binary(t)
	c, err := kubetest.Launch(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids(t, c, kubetest.KWOK) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	kubetest.Eventually(t, "kwok is gone", func(context.Context) (bool, any) {
		select {
		case <-c.Ended(kubetest.KWOK):
			return true, nil
		default:
			return false, pids(t, c, kubetest.KWOK)
		}
	})
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), "kwok ended by itself") {
		t.Errorf("got %v, want it said that kwok ended", err)
	}
}
