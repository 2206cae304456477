package kubernetes

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
)

// cut loses every call of a method on a kind of object while it is on.
type cut struct {
	on    atomic.Bool
	calls []string // such as "POST secrets"
}

func (c *cut) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		for _, call := range c.calls {
			method, kind, _ := strings.Cut(call, " ")
			if c.on.Load() && r.Method == method && strings.Contains(r.URL.Path, "/"+kind) {
				return nil, errors.New("the connection was cut")
			}
		}
		return next.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAStartThatFailedHalfWayGoesOn: a Pod whose Secret could not be made waits for it with its GPUs. The
// next start of the ID makes that Pod whole, and a stop ends it like any other.
func TestAStartThatFailedHalfWayGoesOn(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	k := &cut{calls: []string{"POST secrets"}}
	config := c.RESTConfig()
	config.Wrap(k.wrap)
	client, err := provider.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, c, provider.Options{Client: client})
	retried, given := replica("default", "gpu-0", "gpu-00"), replica("default", "gpu-0", "gpu-01")
	k.on.Store(true)
	for _, r := range []activities.ReplicaSpec{retried, given} {
		if err := p.Start(t.Context(), r); err == nil || errors.Is(err, activities.ErrNotNow) || activities.Permanent(err) {
			t.Fatalf("got %v, want a failure that keeps the GPUs and may be tried again", err)
		}
		if s := status(t, p, r.ID); s.State == "" || s.State == activities.RunGone {
			t.Errorf("what holds GPUs is said to be %q", s.State)
		}
	}
	pods := c.Client().CoreV1().Pods("default")
	first, err := pods.Get(t.Context(), retried.ID, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	k.on.Store(false)
	started(t, p, retried)
	if pod, err := pods.Get(t.Context(), retried.ID, metav1.GetOptions{}); err != nil || pod.UID != first.UID {
		t.Errorf("it runs as another Pod: %v, was %s (%v)", pod.UID, first.UID, err)
	}
	if s, err := c.Client().CoreV1().Secrets("default").Get(t.Context(), retried.ID, metav1.GetOptions{}); err != nil || s.OwnerReferences[0].UID != first.UID {
		t.Errorf("it runs without its Secret: %v", err)
	}
	if err := p.Stop(t.Context(), given.ID, 0); err != nil { // given up by whoever asked for it
		t.Fatal(err)
	}
	await(t, p, given.ID, activities.RunGone)
	clean(t, c, p)
}
