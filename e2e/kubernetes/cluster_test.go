package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
	"stoker.dev/stoker/functions"
)

// Times of these tests.
const (
	// patience is for anything on a busy machine before it counts as hung. A client that lost its API server looks
	// again after up to a minute.
	patience = 4 * time.Minute
	look     = 20 * time.Millisecond
	calm     = 500 * time.Millisecond // for something that must not happen
)

// shellImage stands for /bin/sh on host nodes; a function's args are its script.
const shellImage = "test/sh"

// agentImage stands for the real agent.
const agentImage = "test/stoker-agent"

// open makes a provider that ends with the test.
func open(t testing.TB, c *kubetest.Cluster, o provider.Options) *provider.Provider {
	t.Helper()
	if o.Client == nil {
		made, err := provider.NewClient(c.RESTConfig())
		if err != nil {
			t.Fatal(err)
		}
		o.Client = made
	}
	if o.Namespace == "" {
		o.Namespace = metav1.NamespaceDefault
	}
	if o.Pool == "" {
		o.Pool = "default"
	}
	o.AgentImage, o.Logger = agentImage, slog.New(slog.NewTextHandler(t.Output(), nil))
	p, err := provider.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// holders numbers the Pods of others.
var holders atomic.Int64

// hold makes a Pod of somebody else that holds GPUs of a node, until the test ends.
func hold(t testing.TB, c *kubetest.Cluster, node string, gpus int64, image string) *corev1.Pod {
	t.Helper()
	q := *resource.NewQuantity(gpus, resource.DecimalSI)
	pods := c.Client().CoreV1().Pods(metav1.NamespaceDefault)
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("somebody-", holders.Add(1))},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelHostname: node}, TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: "main", Image: image, Args: []string{"exec sleep 1000"},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{provider.ResourceGPU: q}},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, c.Client(), pod) })
	return pod
}

// remove deletes a Pod and waits until it is gone.
func remove(t testing.TB, c client.Interface, pod *corev1.Pod) {
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's own has ended
	defer cancel()
	pods := c.CoreV1().Pods(pod.Namespace)
	_ = pods.Delete(ctx, pod.Name, metav1.DeleteOptions{}) // it may be gone
	for {
		if _, err := pods.Get(ctx, pod.Name, metav1.GetOptions{}); err != nil {
			if ctx.Err() != nil {
				t.Errorf("Pod %s does not go: %v", pod.Name, err)
			}
			return
		}
		pause(ctx)
	}
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(look):
	}
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !ok() {
		if ctx.Err() != nil {
			t.Fatalf("%s: not within %v", what, patience)
		}
		pause(ctx)
	}
}

// status is what a provider says of a replica.
func status(t testing.TB, p activities.Provider, id string) activities.ReplicaStatus {
	t.Helper()
	all, err := p.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.ID == id {
			return s
		}
	}
	return activities.ReplicaStatus{}
}

// shell is a runtime that runs a script in a host node's Pod.
func shell(script string) functions.Runtime {
	return functions.Runtime{Image: shellImage, Args: []string{script}}
}

func foreign(t *testing.T, p activities.Provider) int {
	t.Helper()
	inv, err := p.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range inv.Devices {
		if d.Foreign != "" {
			n++
		}
	}
	return n
}

// settled looks for objects that are left.
func settled(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	of := metav1.ListOptions{LabelSelector: provider.LabelPool}
	eventually(t, "Pods and Secrets go", func() bool {
		pods, err := c.Client().CoreV1().Pods("").List(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := c.Client().CoreV1().Secrets("").List(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		return len(pods.Items)+len(secrets.Items) == 0
	})
}
