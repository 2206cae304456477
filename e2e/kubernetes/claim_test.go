package kubernetes

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	client "k8s.io/client-go/kubernetes"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
)

// TestAPoolIsOnePlatforms lets several platforms want one pool.
func TestAPoolIsOnePlatforms(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	var cut atomic.Bool
	config := c.RESTConfig()
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if cut.Load() {
				return nil, errors.New("cut")
			}
			return next.RoundTrip(r)
		})
	}
	through, err := client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	direct, err := provider.NewClient(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	first := open(t, c, provider.Options{Client: through, Owner: "first:/data"})
	_, err = provider.New(t.Context(), provider.Options{Client: direct, Namespace: "default", Pool: "default", Owner: "second:/data"})
	if !errors.Is(err, provider.ErrPoolTaken) || !strings.Contains(err.Error(), "first:/data") || !strings.Contains(err.Error(), "--pool") {
		t.Errorf("a second platform: %v", err)
	}
	open(t, c, provider.Options{Pool: "another", Owner: "second:/data"})
	again := open(t, c, provider.Options{Owner: "first:/data"}) // restarted
	r := started(t, again, replica("default", "gpu-0", "gpu-00"))

	// A platform that cannot be heard loses its pool, and may not act when it is back.
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	first = open(t, c, provider.Options{Client: through, Owner: "first:/data"})
	cut.Store(true)
	second := open(t, c, provider.Options{Owner: "second:/data"})
	cut.Store(false)
	never1 := replica("default", "gpu-0", "gpu-01")
	never1.Lease.Epoch = 0 // of a Pod that is there it would be refused as outdated
	eventually(t, "the first one knows", func() bool {
		err := first.Start(t.Context(), never1)
		if err == nil {
			t.Fatal("it started a Pod in another one's pool")
		}
		return errors.Is(err, provider.ErrPoolTaken)
	})
	if s := status(t, second, r.ID); s.State != activities.RunRunning {
		t.Errorf("what runs is %s to the one that took over", s.State)
	}
	gone(t, second, r.ID)

	// One that has gone in peace leaves the pool free.
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, c, provider.Options{Owner: "third:/data"})
}
