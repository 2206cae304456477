package dispatch

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"stoker.dev/stoker/cmd/stoker/webhook"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// crier is a bus that remembers what was said.
type crier struct {
	mu   sync.Mutex
	said []string
}

func (c *crier) Emit(_ context.Context, _ functions.Key, kind, what string, _ any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, kind+" "+what)
	return nil
}

func (c *crier) OnHeartbeat(func(functions.Key, events.Heartbeat)) (*events.Subscription, error) {
	return nil, nil
}

// posted is one event that a server has got.
type posted struct {
	id, what, subject string
	phase             job.Phase
}

func TestPeopleAreToldOfAJob(t *testing.T) {
	got := make(chan posted, 16)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuses" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		e, err := cehttp.NewEventFromHTTPRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		var data jobEvent
		if err := e.DataAs(&data); err != nil {
			t.Error(err)
		}
		got <- posted{e.ID(), e.Type(), e.Subject(), data.Phase}
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	bus := &crier{}
	d := New(Options{Bus: bus, Webhooks: webhook.New(roots), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return origin }})
	_, end := d.box.Begin(t.Context())
	rec := events.JobRecord{UID: "uid"}
	rec.Job.Metadata = functions.Metadata{Namespace: "ns", Name: "train"}
	rec.Job.Spec.Notify = []functions.Notice{
		{Webhook: server.URL, On: []functions.JobEvent{functions.JobStarted, functions.JobSucceeded}},
		{Webhook: server.URL + "/refuses", On: []functions.JobEvent{functions.JobSucceeded}},
		{Webhook: server.URL, On: []functions.JobEvent{}},
	}
	e := newEntry(rec.Job.Key(), rec, 1)
	var before job.State
	for _, phase := range []job.Phase{job.Validated, job.Queued, job.Admitted, job.Placed, job.Running, job.Checkpointing, job.Running, job.Succeeded} {
		after := job.State{Phase: phase, Generation: 1}
		if err := d.announce(t.Context(), e, before, after); err != nil {
			t.Fatal(err)
		}
		before = after
	}
	d.box.Wait()
	end()
	close(got)
	seen := map[posted]int{}
	for p := range got {
		seen[p]++
	}
	for _, want := range []posted{
		{"uid/1/started", "dev.stoker.job.started.v1", "ns/train", job.Running},
		{"uid/1/succeeded", "dev.stoker.job.succeeded.v1", "ns/train", job.Succeeded},
	} {
		if seen[want] != 1 || len(seen) != 2 {
			t.Errorf("posted %+v, want %+v once", seen, want)
		}
	}
	if n := len(bus.said) - len(slices.DeleteFunc(slices.Clone(bus.said), func(s string) bool { return s == "job not-notified" })); n != 1 {
		t.Errorf("the one that refused is told of %d times: %v", n, bus.said)
	}
}

func TestWhatPeopleAreToldOf(t *testing.T) {
	at := func(p job.Phase, generation uint64, why job.Cause) job.State {
		return job.State{Phase: p, Generation: generation, Cause: why}
	}
	for _, c := range []struct {
		before, after job.State
		want          functions.JobEvent
	}{
		{job.State{}, at(job.Queued, 1, job.CauseSubmitted), ""},
		{at(job.Barrier, 1, job.CauseAdmitted), at(job.Running, 1, job.CauseAdmitted), functions.JobStarted},
		{at(job.Checkpointing, 1, ""), at(job.Running, 1, ""), ""},
		{at(job.Running, 1, ""), at(job.Running, 1, ""), ""},
		{at(job.Running, 1, ""), at(job.Running, 2, ""), functions.JobStarted},
		{at(job.Draining, 1, job.CauseRecalled), at(job.Queued, 2, job.CauseRecalled), functions.JobPreempted},
		{at(job.Draining, 1, job.CauseResized), at(job.Queued, 2, job.CauseResized), ""},
		{at(job.Draining, 1, job.CauseFailed), at(job.Recovering, 2, "killed"), functions.JobRetrying},
		{at(job.Draining, 1, job.CauseBudget), at(job.Failed, 1, job.CauseBudget), functions.JobFailed},
		{at(job.Queued, 1, ""), at(job.TimedOut, 1, job.CauseQueueTimeout), functions.JobTimedOut},
		{at(job.Queued, 1, ""), at(job.Rejected, 1, job.CauseNoCheckpoint), functions.JobRejected},
		{at(job.Running, 1, ""), at(job.Cancelled, 1, job.CauseCancelled), functions.JobCancelled},
	} {
		if got := happened(c.before, c.after); got != c.want {
			t.Errorf("from %+v to %+v: %q, want %q", c.before, c.after, got, c.want)
		}
	}
}
