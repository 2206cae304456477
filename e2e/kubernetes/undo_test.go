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

// TestAStartThatFailedHalfWayIsTriedAgain: without its Secret a Pod is undone, and where the API
// server takes only part of that, or nothing, the next start of the same ID begins anew all the same.
func TestAStartThatFailedHalfWayIsTriedAgain(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	for name, calls := range map[string][]string{
		"UndoneAtOnce": {"POST secrets"},
		"AskedToGo":    {"POST secrets", "PATCH pods"},
		"NotEvenAsked": {"POST secrets", "DELETE pods", "PATCH pods"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &cut{calls: calls}
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
				if err := p.Start(t.Context(), r); err == nil || errors.Is(err, activities.ErrStopped) {
					t.Fatalf("got %v, want a failure that may be tried again", err)
				}
				if s := status(t, p, r.ID); s.State == activities.RunGone || s.State == activities.RunStopping {
					t.Errorf("what nobody has started is said to be %s", s.State)
				}
			}
			k.on.Store(false)
			started(t, p, retried)
			if _, err := c.Client().CoreV1().Secrets("default").Get(t.Context(), retried.ID, metav1.GetOptions{}); err != nil {
				t.Errorf("it runs without its Secret: %v", err)
			}
			if err := p.Stop(t.Context(), given.ID, 0); err != nil { // given up by whoever asked for it
				t.Fatal(err)
			}
			eventually(t, "what was given up is gone", func() bool {
				s := status(t, p, given.ID).State
				return s == "" || s == activities.RunGone
			})
			if err := p.Forget(t.Context(), given.ID); err != nil {
				t.Fatal(err)
			}
			clean(t, c, p)
		})
	}
}
