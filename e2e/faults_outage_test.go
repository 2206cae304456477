package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// outageVar makes the outages as long as an operator fears: STOKER_E2E_OUTAGE=60s.
const outageVar = "STOKER_E2E_OUTAGE"

// shortOutage is what the test command waits for: longer than a heartbeat's absence is noticed, and than an ack wait's
// third.
const shortOutage = 7 * time.Second

// resumeWithin is how long after a full minute without a server a wake may take.
const resumeWithin = 10 * time.Second

func outage(t *testing.T) (d time.Duration, full bool) {
	t.Helper()
	text := os.Getenv(outageVar)
	if text == "" {
		return shortOutage, false
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("%s=%q: want a duration such as 60s", outageVar, text)
	}
	return d, true
}

// TestExternalNATSGone takes the broker away under a warm function's load and brings it back: the replica is the same,
// the load goes on, what was acknowledged before and after has its record, and a function at zero wakes.
func TestExternalNATSGone(t *testing.T) {
	t.Parallel()
	away, full := outage(t)
	x := harness.StartServers(t, "outage", "nats")
	p := harness.Up(t, harness.Options{GPUs: 2, NATS: x.NATS})
	warm := p.Function("warm", "-delay", "20ms")
	warm.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 4}
	warm.Spec.Queue.Attempts = 20
	p.Apply(warm, p.Function("cold"))
	before := p.Await("warm", "ready", func(f api.Function) bool { return f.Ready == 1 }).Replicas[0]
	load := startLoad(t, p, "warm")
	load.awaitProgress("before the broker goes")

	x.Kill9()
	harness.Hold(t, away, "a replica without a broker is left alone", func() (bool, any) { return running(p, before), p.Processes() })
	x.Start()
	back := time.Now()
	id := p.MustPublish(p.JetStream(), "cold", functions.Standard, "wake")
	if rec := p.AwaitRecords("cold", []string{id})[id]; rec.Status != events.StatusOK {
		t.Errorf("a wake after the outage: %s (%s): %s", rec.Status, rec.Cause, rec.Message)
	}
	took := time.Since(back)
	t.Logf("away for %v; a function at zero answered %v after the broker was back", away, took.Round(time.Millisecond))
	if full && took > resumeWithin {
		t.Errorf("the wake took %v, want %v at most", took, resumeWithin)
	}
	load.awaitProgress("once the broker is back")
	same(t, p, before, p.Get("warm"))
	mustInvoke(t, p, "warm", "by request and reply")

	accepted, tried := load.stop()
	for id, rec := range p.AwaitRecords("warm", accepted) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	checkOneRecordEach(t, p, "warm", len(accepted)+1, tried+1) // and the one that was invoked
	if f := p.Get("warm"); f.Failure != nil {
		t.Errorf("a replica counts as failed: %+v", f.Failure)
	}
}

// TestExternalTemporalGone takes Temporal away: warm traffic goes on at its pace without one failure, requests of a
// function at zero wait and are served once Temporal is back, and nothing warm is restarted.
func TestExternalTemporalGone(t *testing.T) {
	t.Parallel()
	away, full := outage(t)
	x := harness.StartServers(t, "outage", "temporal")
	p := harness.Up(t, harness.Options{GPUs: 2, Env: x.TemporalEnv()})
	warm := p.Function("warm", "-delay", "500ms") // which bounds the pace, whatever else the machine does
	warm.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 4}
	cold := p.Function("cold")
	cold.Spec.Queue.Deadline = functions.Duration(10 * time.Minute)
	p.Apply(warm, cold)
	before := p.Await("warm", "ready", func(f api.Function) bool { return f.Ready == 1 }).Replicas[0]
	mustInvoke(t, p, "cold", "wakes while all is well")
	p.AwaitZero("cold")

	callers := startCallers(t, p, "warm", 4)
	paceBefore := callers.pace(t, away)
	x.Kill9()
	waiting := p.MustPublish(p.JetStream(), "cold", functions.Standard, "asked while Temporal is away")
	paceDuring := callers.pace(t, away)
	x.Start()
	back := time.Now()
	rec := p.AwaitRecords("cold", []string{waiting})[waiting]
	took := time.Since(back)
	calls, failures := callers.stop()

	t.Logf("away for %v: %.0f requests/s before, %.0f/s without Temporal, %d in all, %d failed; the wake was answered %v after it was back",
		away, paceBefore, paceDuring, calls, len(failures), took.Round(time.Millisecond))
	for _, f := range failures {
		t.Errorf("warm traffic failed: %v", f)
	}
	if paceDuring < paceBefore/2 { // the machine runs other tests at the same time
		t.Errorf("warm traffic slowed down from %.0f to %.0f requests/s", paceBefore, paceDuring)
	}
	if rec.Status != events.StatusOK {
		t.Errorf("the request that waited: %s (%s): %s", rec.Status, rec.Cause, rec.Message)
	}
	if full && took > resumeWithin {
		t.Errorf("the wake took %v, want %v at most", took, resumeWithin)
	}
	same(t, p, before, p.Get("warm"))
	for _, name := range []string{"warm", "cold"} {
		if f := p.Get(name); f.Failure != nil {
			t.Errorf("%s: a replica counts as failed: %+v", name, f.Failure)
		}
	}
}

// callers ask and wait for the answer, again and again.
type callers struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	calls  atomic.Int64

	mu       sync.Mutex
	failures []error
}

func startCallers(t *testing.T, p *harness.Platform, name string, n int) *callers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &callers{cancel: cancel}
	nc := p.NATS()
	for range n {
		c.done.Go(func() {
			for ctx.Err() == nil {
				c.one(ctx, nc, name)
			}
		})
	}
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *callers) one(ctx context.Context, nc *nats.Conn, name string) {
	one, cancel := context.WithTimeout(context.WithoutCancel(ctx), harness.Patience)
	defer cancel()
	m, err := nc.RequestWithContext(one, events.InvokeSubject(harness.Key(name)), []byte("x"))
	if err == nil && m.Header.Get(events.HeaderStatus) != string(events.StatusOK) {
		err = fmt.Errorf("%s: %s", m.Header.Get(events.HeaderStatus), m.Data)
	}
	c.calls.Add(1)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failures = append(c.failures, err)
	}
}

// pace counts for a while, in requests per second.
func (c *callers) pace(t *testing.T, d time.Duration) float64 {
	t.Helper()
	begun, calls := time.Now(), c.calls.Load()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(errors.New("the test ends while it counts"))
	}
	return float64(c.calls.Load()-calls) / time.Since(begun).Seconds()
}

// stop ends the callers and returns how many calls they made, and what failed.
func (c *callers) stop() (calls int64, failures []error) {
	c.cancel()
	c.done.Wait()
	return c.calls.Load(), c.failures
}
