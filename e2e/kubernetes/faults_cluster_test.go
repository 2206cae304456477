package kubernetes

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
	"stoker.dev/stoker/events"
)

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
		return roundTrip(func(r *http.Request) (*http.Response, error) {
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
