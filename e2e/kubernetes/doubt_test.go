package kubernetes

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/activities"
	provider "stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/e2e/kubetest"
)

// line is the connection to the API server, with what is wrong with it.
type line struct {
	mu    sync.Mutex
	wrong func(*http.Request, http.RoundTripper) (*http.Response, error) // nil: nothing
	deaf  chan struct{}                                                  // while it is there and open, watches tell nothing
}

func (l *line) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		l.mu.Lock()
		wrong := l.wrong
		l.mu.Unlock()
		if r.URL.Query().Get("watch") != "" {
			answer, err := next.RoundTrip(r)
			if err == nil {
				answer.Body = deafBody{answer.Body, r.Context(), l}
			}
			return answer, err
		}
		if wrong != nil {
			return wrong(r, next)
		}
		return next.RoundTrip(r)
	})
}

func (l *line) becomes(wrong func(*http.Request, http.RoundTripper) (*http.Response, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = wrong
}

// goDeaf keeps back what watches tell, until its result is called.
func (l *line) goDeaf() (hear func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	deaf := make(chan struct{})
	l.deaf = deaf
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.deaf = nil
		close(deaf)
	}
}

// deafBody is what a watch tells, as soon as it is heard.
type deafBody struct {
	io.ReadCloser
	ctx context.Context //nolint:containedctx // 2026-11-27: of the request whose body it is
	l   *line
}

func (b deafBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.l.mu.Lock()
	deaf := b.l.deaf
	b.l.mu.Unlock()
	if deaf == nil {
		return n, err
	}
	select {
	case <-deaf:
		return n, err
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

// lostAnswer carries a creation of a Pod out and loses what comes back.
func lostAnswer(r *http.Request, next http.RoundTripper) (*http.Response, error) {
	answer, err := next.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pods") {
		_ = answer.Body.Close()
		return nil, &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	}
	return answer, err
}

// away makes no connection.
func away(*http.Request, http.RoundTripper) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
}

// TestAnUnansweredStartKeepsItsGPUs: a Pod whose creation was not answered, and that the watch has not told
// of, may hold GPUs: nobody may take it for not started, and a stop of it must find it.
func TestAnUnansweredStartKeepsItsGPUs(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	l := &line{}
	config := c.RESTConfig()
	config.Wrap(l.wrap)
	client, err := provider.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, c, provider.Options{Client: client})
	hear := l.goDeaf()
	never := replica("default", "gpu-0", "gpu-01")
	l.becomes(away)
	if err := p.Start(t.Context(), never); !errors.Is(err, activities.ErrNotNow) {
		t.Errorf("what was not even asked for: %v, want %v", err, activities.ErrNotNow)
	}
	r := replica("default", "gpu-0", "gpu-00")
	l.becomes(lostAnswer)
	if err := p.Start(t.Context(), r); err == nil || errors.Is(err, activities.ErrNotNow) {
		t.Fatalf("a start that was not answered: %v", err)
	}
	l.becomes(away)
	if err := p.Start(t.Context(), r); err == nil || errors.Is(err, activities.ErrNotNow) {
		t.Errorf("tried again with the API server away: %v; the first try may have made it", err)
	}
	if err := p.Stop(t.Context(), r.ID, 0); err == nil {
		t.Error("stopped, while nobody can know what there is")
	}
	l.becomes(nil)
	if err := p.Stop(t.Context(), r.ID, 0); err != nil {
		t.Fatal(err)
	}
	if s := status(t, p, r.ID); s.State == "" {
		t.Error("stopped, and taken for one that never was")
	}
	pod, err := c.Client().CoreV1().Pods("default").Get(t.Context(), r.ID, metav1.GetOptions{})
	if err != nil || pod.DeletionTimestamp == nil {
		t.Errorf("its Pod is not asked to go: %v, %v", pod.DeletionTimestamp, err)
	}
	hear()
	await(t, p, r.ID, activities.RunGone)
	started(t, p, never)
	clean(t, c, p)
}

// TestASecretOfAnEarlierPodIsInNobodysWay: the garbage collector would take it from under the new one.
func TestASecretOfAnEarlierPodIsInNobodysWay(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{Nodes: 1})
	p := open(t, c, provider.Options{})
	r := replica("default", "gpu-0", "gpu-00")
	secrets := c.Client().CoreV1().Secrets("default")
	other := started(t, p, replica("default", "gpu-0", "gpu-01"))
	old, err := secrets.Get(t.Context(), other.ID, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	left := old.DeepCopy()
	left.ObjectMeta = metav1.ObjectMeta{Name: r.ID, Labels: old.Labels, OwnerReferences: old.OwnerReferences}
	if _, err := secrets.Create(t.Context(), left, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	started(t, p, r)
	gone(t, p, other.ID)
	eventually(t, "the other's Secret is collected", func() bool {
		_, err := secrets.Get(t.Context(), other.ID, metav1.GetOptions{})
		return err != nil
	})
	pod, err := c.Client().CoreV1().Pods("default").Get(t.Context(), r.ID, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := secrets.Get(t.Context(), r.ID, metav1.GetOptions{})
	if err != nil || len(own.OwnerReferences) != 1 || own.OwnerReferences[0].UID != pod.UID {
		t.Errorf("its Secret: %v, owned by %v, want the Pod %s", err, own.OwnerReferences, pod.UID)
	}
	clean(t, c, p)
}
