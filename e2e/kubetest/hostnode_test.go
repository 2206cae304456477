package kubetest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"stoker.dev/stoker/e2e/kubetest"
)

const serverImage = "example.com/server:1"

// hostCluster is a cluster with one host node that has two GPUs.
func hostCluster(t *testing.T) (*kubetest.Cluster, *kubetest.HostNode) {
	c := kubetest.Start(t, kubetest.Options{})
	return c, c.AddHostNode(t, kubetest.NodeSpec{Name: "host", GPUs: 2}, map[string]kubetest.Image{
		serverImage: {Entrypoint: []string{os.Args[0], podServer}},
	})
}

// hostPod is a Pod with a sidecar on port 9090 and a main container on port 8080 with a GPU, whose preStop hook asks
// the sidecar. What happens to them is in the file order of dir.
func hostPod(name, dir string) *corev1.Pod {
	always, grace := corev1.ContainerRestartPolicyAlways, int64(1)
	container := func(name, port string) corev1.Container {
		return corev1.Container{
			Name: name, Image: serverImage,
			Env:          []corev1.EnvVar{{Name: "NAME", Value: name}, {Name: "PORT", Value: port}, {Name: "ORDER", Value: "/order/order"}},
			VolumeMounts: []corev1.VolumeMount{{Name: "order", MountPath: "/order"}},
		}
	}
	ask := func(path string, port intstr.IntOrString) *corev1.HTTPGetAction {
		return &corev1.HTTPGetAction{Path: path, Port: port}
	}
	side, main := container("side", "9090"), container("main", "8080")
	side.RestartPolicy = &always
	side.Ports = []corev1.ContainerPort{{Name: "control", ContainerPort: 9090}}
	side.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: ask("/ok", intstr.FromString("control"))}, PeriodSeconds: 1, FailureThreshold: 60}
	main.Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
	main.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: ask("/ok", intstr.FromInt32(8080))}, PeriodSeconds: 1}
	main.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: ask("/drain", intstr.FromInt32(9090))}}
	main.Resources.Limits = corev1.ResourceList{kubetest.GPUResource: resource.MustParse("1")}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"epoch": "1"}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
			InitContainers: []corev1.Container{side}, Containers: []corev1.Container{main},
			Volumes: []corev1.Volume{{Name: "order", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}}},
		},
	}
}

func create(t *testing.T, c *kubetest.Cluster, pod *corev1.Pod) {
	t.Helper()
	if _, err := c.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, c *kubetest.Cluster, name string) {
	t.Helper()
	if err := c.Client().CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request to the main container and returns the answer; none if it ended over it.
func ask(t *testing.T, node *kubetest.HostNode, pod, path string) string {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", node.Port(t, "default", pod, "main", 8080), path))
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func order(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", ")
}

func TestAHostPodLivesAndEndsInOrder(t *testing.T) {
	c, node := hostCluster(t)
	dir := t.TempDir()
	pod := hostPod("orderly", dir)
	pod.Finalizers = []string{"example.com/kept"}
	pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "TERM_CODE", Value: "3"},
		corev1.EnvVar{Name: "LAST_WORDS", Value: corev1.TerminationMessagePathDefault})
	create(t, c, pod)
	got := waitPod(t, c, "orderly", "is ready", ready)
	if s := got.Status; s.Phase != corev1.PodRunning || s.PodIP != "127.0.0.1" || !s.InitContainerStatuses[0].Ready {
		t.Errorf("status of a ready Pod: %+v", s)
	}
	if gpu := ask(t, node, "orderly", "/env/NVIDIA_VISIBLE_DEVICES"); gpu != node.GPUs()[0] || len(node.FreeGPUs()) != 1 {
		t.Errorf("the container has GPU %q and %q are free, of %q", gpu, node.FreeGPUs(), node.GPUs())
	}
	remove(t, c, "orderly")
	got = waitPod(t, c, "orderly", "has ended but for its finalizer", func(p *corev1.Pod) bool {
		return p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0
	})
	end := got.Status.ContainerStatuses[0].State.Terminated
	if got.Status.Phase != corev1.PodFailed || end == nil || end.ExitCode != 3 || end.Reason != "Error" || end.FinishedAt.IsZero() {
		t.Errorf("status of a Pod that ended: %+v", got.Status)
	}
	if end != nil && end.Message != "main says goodbye" {
		t.Errorf("its last words are %q", end.Message)
	}
	if end := got.Status.InitContainerStatuses[0].State.Terminated; end == nil || end.ExitCode != 0 || end.Reason != "Completed" {
		t.Errorf("status of its sidecar: %+v", got.Status.InitContainerStatuses[0])
	}
	if len(got.Finalizers) != 1 || len(node.FreeGPUs()) != 2 {
		t.Errorf("its finalizers are %q and the free GPUs %q; want its own one, and both", got.Finalizers, node.FreeGPUs())
	}
	want := "side started, main started, side drains, main was asked to end, side was asked to end"
	if saw := order(t, dir); saw != want {
		t.Errorf("it went\n%s, want\n%s", saw, want)
	}
	unpin := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := c.Client().CoreV1().Pods("default").Patch(t.Context(), "orderly", types.MergePatchType, unpin, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	waitGone(t, c, "orderly")
}

func TestAHostPodSeesItsVolumesAndVariables(t *testing.T) {
	c, node := hostCluster(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "config"}, StringData: map[string]string{
		"agent.yaml": "target: http://127.0.0.1:8080/v1\ntoken: /etc/config/token\n", "token": "s3cret",
	}}
	pod := hostPod("configured", t.TempDir())
	main := &pod.Spec.Containers[0]
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	main.Env = append(main.Env,
		corev1.EnvVar{Name: "CONFIG", Value: "/etc/config/agent.yaml"},
		corev1.EnvVar{Name: "EPOCH", Value: "/etc/pod/epoch"},
		corev1.EnvVar{Name: "UID", ValueFrom: field("metadata.uid")},
		corev1.EnvVar{Name: "NODE", ValueFrom: field("spec.nodeName")},
		corev1.EnvVar{Name: "ADDRESS", Value: "$(NODE) and not $(NOBODY)"},
		corev1.EnvVar{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "config"}, Key: "token",
		}}})
	main.VolumeMounts = append(main.VolumeMounts,
		corev1.VolumeMount{Name: "config", MountPath: "/etc/config"}, corev1.VolumeMount{Name: "pod", MountPath: "/etc/pod"})
	pod.Spec.Volumes = append(pod.Spec.Volumes,
		corev1.Volume{Name: "config", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "config"}}},
		corev1.Volume{Name: "pod", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "epoch", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['epoch']"}},
		}}}})
	create(t, c, pod)
	waitPod(t, c, "configured", "waits for its Secret and says so", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && strings.Contains(s[0].State.Waiting.Message, `"config" not found`)
	})
	if _, err := c.Client().CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := waitPod(t, c, "configured", "is ready", ready)
	for name, want := range map[string]string{
		"UID": string(got.UID), "NODE": "host", "ADDRESS": "host and not $(NOBODY)", "TOKEN": "s3cret",
	} {
		if value := ask(t, node, "configured", "/env/"+name); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	port := node.Port(t, "default", "configured", "main", 8080)
	config := ask(t, node, "configured", "/file/CONFIG")
	if !strings.Contains(config, fmt.Sprintf("http://127.0.0.1:%d/v1\n", port)) || strings.Contains(config, "/etc/config") {
		t.Errorf("the file is not rewritten for port %d and this host:\n%s", port, config)
	}
	patch := []byte(`{"metadata":{"annotations":{"epoch":"2"}}}`)
	if _, err := c.Client().CoreV1().Pods("default").Patch(t.Context(), "configured", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	kubetest.Eventually(t, "the annotation's new value is in its file", func(context.Context) (bool, any) {
		saw := ask(t, node, "configured", "/file/EPOCH")
		return saw == "2", saw
	})
}

func TestHostPodsThatEndByThemselves(t *testing.T) {
	c, node := hostCluster(t)
	crashes := hostPod("crashes", t.TempDir())
	crashes.Spec.Containers[0].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	create(t, c, crashes)
	waitPod(t, c, "crashes", "is ready", ready)
	if err := unix.Kill(node.PID(t, "default", "crashes", "side"), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitPod(t, c, "crashes", "has its sidecar again", func(p *corev1.Pod) bool {
		s := p.Status.InitContainerStatuses[0]
		return s.RestartCount == 1 && s.Ready && s.LastTerminationState.Terminated != nil && s.LastTerminationState.Terminated.ExitCode == 137
	})
	logs := followed(t, c, "crashes")
	ask(t, node, "crashes", "/exit/7")
	got := waitPod(t, c, "crashes", "has failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if end := got.Status.ContainerStatuses[0].State.Terminated; end.ExitCode != 7 || end.Reason != "Error" || end.Message != "main serves\n" {
		t.Errorf("it ended as %+v, want with code 7 and its log", end)
	}
	if text := <-logs; text != "main serves\n" {
		t.Errorf("its log, followed to the end, is %q", text)
	}

	create(t, c, hostPod("greedy", t.TempDir()))
	waitPod(t, c, "greedy", "is ready", ready)
	node.OOMKill(t, "default", "greedy", "main")
	got = waitPod(t, c, "greedy", "has failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if end := got.Status.ContainerStatuses[0].State.Terminated; end.ExitCode != 137 || end.Reason != "OOMKilled" {
		t.Errorf("it ended as %+v, want OOMKilled", end)
	}

	stranger := hostPod("stranger", t.TempDir())
	stranger.Spec.Containers[0].Image = "example.com/unknown"
	create(t, c, stranger)
	waitPod(t, c, "stranger", "has an image that cannot be pulled", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "ErrImagePull"
	})
	_, err := c.Client().CoreV1().Pods("default").GetLogs("stranger", &corev1.PodLogOptions{Container: "main"}).DoRaw(t.Context())
	if !apierrors.IsBadRequest(err) {
		t.Errorf("the log of a container that never ran: %v, want a bad request, as from a kubelet", err)
	}
	remove(t, c, "stranger")
	waitGone(t, c, "stranger")
}

// followed reads the main container's log until it ends.
func followed(t *testing.T, c *kubetest.Cluster, pod string) <-chan string {
	t.Helper()
	stream, err := c.Client().CoreV1().Pods("default").GetLogs(pod, &corev1.PodLogOptions{Container: "main", Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := make(chan string, 1)
	go func() {
		defer stream.Close()
		all, _ := io.ReadAll(stream)
		text <- string(all)
	}()
	return text
}

func TestAHostPodThatDoesNotEndIsKilledWithAllItStarted(t *testing.T) {
	c, _ := hostCluster(t)
	dir := t.TempDir()
	pod := hostPod("stubborn", dir)
	pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "TERM_CODE", Value: "never"})
	pod.Finalizers = []string{"example.com/kept"}
	create(t, c, pod)
	waitPod(t, c, "stubborn", "is ready", ready)
	if n := len(processes(t, dir)); n < 4 {
		t.Fatalf("%d processes of the Pod are seen, want the commands of both containers and their children", n)
	}
	began := time.Now()
	remove(t, c, "stubborn")
	got := waitPod(t, c, "stubborn", "was killed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if end := got.Status.ContainerStatuses[0].State.Terminated; end.ExitCode != 137 {
		t.Errorf("it ended as %+v, want killed", end)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was killed after %s, before the kubelet's least time to end", took)
	}
	if left := processes(t, dir); len(left) != 0 {
		t.Errorf("left of it: %v", left)
	}
}

func TestWhatEndsWhileTheAPIServerIsAwayIsToldLater(t *testing.T) {
	c, node := hostCluster(t)
	create(t, c, hostPod("unheard", t.TempDir()))
	waitPod(t, c, "unheard", "is ready", ready)
	c.Kill(t, kubetest.APIServer)
	if _, err := c.Client().CoreV1().Pods("default").Get(t.Context(), "unheard", metav1.GetOptions{}); err == nil {
		t.Fatal("an API server that was killed answers")
	}
	ask(t, node, "unheard", "/exit/5")
	c.StartRole(t, kubetest.APIServer)
	got := waitPod(t, c, "unheard", "has failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if end := got.Status.ContainerStatuses[0].State.Terminated; end.ExitCode != 5 {
		t.Errorf("it ended as %+v, want with code 5", end)
	}
	c.WaitNode(t, "host", true)
}

func TestALostHostNodeGoesOnAndCatchesUp(t *testing.T) {
	c, node := hostCluster(t)
	create(t, c, hostPod("lost", t.TempDir()))
	waitPod(t, c, "lost", "is ready", ready)
	node.Lose(t)
	c.WaitNode(t, "host", false)
	remove(t, c, "lost")
	if ask(t, node, "lost", "/env/NAME") != "main" {
		t.Error("the Pod of a lost node does not go on")
	}
	node.Return(t)
	c.WaitNode(t, "host", true)
	waitGone(t, c, "lost")
}
