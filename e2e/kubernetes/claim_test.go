package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
)

// TestAPoolIsOnePlatforms lets several platforms want one pool.
func TestAPoolIsOnePlatforms(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	var wire sync.RWMutex // held by what is on its way, so that a cut waits for that
	cut := false
	setCut := func(now bool) {
		wire.Lock()
		defer wire.Unlock()
		cut = now
	}
	config := c.RESTConfig()
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			wire.RLock()
			defer wire.RUnlock()
			if cut {
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
	setCut(true)
	second := open(t, c, provider.Options{Owner: "second:/data"})
	setCut(false)
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

	// One whose renewals fail in every way, and that nobody has taken the pool from, acts again afterwards.
	l := &line{}
	troubled := c.RESTConfig()
	troubled.Wrap(l.wrap)
	lined, err := provider.NewClient(troubled)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	second = open(t, c, provider.Options{Client: lined, Owner: "second:/data"})
	var updates atomic.Int64
	l.becomes(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		switch {
		case !strings.HasSuffix(r.URL.Path, "/leases/stoker-default"):
			return next.RoundTrip(r)
		case r.Method == http.MethodPut:
			updates.Add(1)
			return refusal(r, http.StatusConflict, metav1.StatusReasonConflict), nil
		case r.Method == http.MethodGet && updates.Load()%2 == 0: // the one before the update
			return next.RoundTrip(r)
		default:
			updates.Add(updates.Load() % 2)
			return refusal(r, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests), nil
		}
	})
	eventually(t, "its renewals have failed", func() bool { return updates.Load() >= 4 })
	l.becomes(nil)
	eventually(t, "it acts again", func() bool {
		err := second.Start(t.Context(), never1)
		if errors.Is(err, provider.ErrPoolTaken) {
			t.Fatal(err)
		}
		return err == nil
	})
	gone(t, second, never1.ID)

	// One that has gone in peace leaves the pool free.
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, c, provider.Options{Owner: "third:/data"})
}

// refusal is an answer of an API server that does not do what it was asked for.
func refusal(r *http.Request, code int32, reason metav1.StatusReason) *http.Response {
	body, _ := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: code, Reason: reason,
	})
	return &http.Response{
		StatusCode: int(code), Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}
}
