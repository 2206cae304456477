package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// counter is a queue that counts how often it is counted.
type counter struct {
	stored map[functions.Class]uint64
	asked  int
	err    error
}

func (c *counter) count(context.Context, functions.Key, int) (map[functions.Class]uint64, error) {
	c.asked++
	return c.stored, c.err
}

func admission(depth int, shed ...functions.Class) api.Admission {
	s := functions.Default(functions.Function{}).Spec
	s.Queue.Depth = functions.Depth{Interactive: depth, Standard: depth, Batch: depth}
	s.Overload.Shed = shed
	return api.Admission{Spec: s, Pending: map[functions.Class]int{}}
}

// TestDepthIsKeptExactly: whatever the controller's count, no more than the depth is let in.
func TestDepthIsKeptExactly(t *testing.T) {
	c := &counter{stored: map[functions.Class]uint64{}}
	d := depths{count: c.count}
	a, now := admission(100), time.Unix(1e9, 0)
	admitted := 0
	for range 500 {
		full, err := d.take(t.Context(), fn, functions.Interactive, a, now)
		must(t, err)
		if full == nil {
			admitted++
			c.stored[functions.Interactive]++
		} else if full[functions.Interactive] != 100 {
			t.Fatalf("refused with %v", full)
		}
		now = now.Add(time.Millisecond)
	}
	if admitted != 100 {
		t.Errorf("admitted %d", admitted)
	}
	if most := 500/int(countEvery/time.Millisecond) + 1; c.asked == 0 || c.asked > most {
		t.Errorf("counted %d times, want 1 to %d", c.asked, most)
	}
	c.stored[functions.Interactive] = 0 // all served
	if full, err := d.take(t.Context(), fn, functions.Interactive, a, now.Add(countEvery)); err != nil || full != nil {
		t.Errorf("after the queue was served: %v, %v", full, err)
	}
}

func TestFarFromFullNothingIsCounted(t *testing.T) {
	c := &counter{}
	d := depths{count: c.count}
	a, now := admission(100), time.Unix(1e9, 0)
	a.Pending[functions.Interactive] = 20
	for range 1000 {
		if full, err := d.take(t.Context(), fn, functions.Interactive, a, now); err != nil || full != nil {
			t.Fatal(full, err)
		}
		now = now.Add(countsAge / 25) // 50 in two periods
	}
	if c.asked != 0 {
		t.Errorf("counted %d times", c.asked)
	}
}

// TestInFlightDoesNotWait: what agents work on takes no room in the queue.
func TestInFlightDoesNotWait(t *testing.T) {
	c := &counter{stored: map[functions.Class]uint64{functions.Interactive: 8, functions.Standard: 5}}
	d := depths{count: c.count}
	a := admission(3)
	a.InFlight = 10
	if full, err := d.take(t.Context(), fn, functions.Interactive, a, time.Unix(1e9, 0)); err != nil || full != nil {
		t.Errorf("%v, %v", full, err)
	}
	got := waiting(c.stored, 10)
	if got[functions.Interactive] != 0 || got[functions.Standard] != 3 {
		t.Errorf("%v", got)
	}
}

func TestCountThatFails(t *testing.T) {
	c := &counter{err: events.ErrNotConnected}
	d := depths{count: c.count}
	if _, err := d.take(t.Context(), fn, functions.Interactive, admission(1), time.Unix(1e9, 0)); !errors.Is(err, events.ErrNotConnected) {
		t.Errorf("%v", err)
	}
}

// TestFallbackTakesWhatWouldBeShed, for callers that wait, and without chains.
func TestFallbackTakesWhatWouldBeShed(t *testing.T) {
	w := newWorld(t)
	small := functions.Key{Namespace: "default", Name: "small"}
	full := func(fallback string) func(*api.Admission) {
		return func(a *api.Admission) {
			a.Spec.Queue.Depth.Interactive, a.Spec.Overload.Shed, a.Spec.Overload.Fallback = 1, []functions.Class{}, fallback
		}
	}
	w.deploy(fn, full("small"))
	w.deploy(small, nil)
	w.serve(small, func(events.Request) (string, []byte) { return "text/plain", []byte("from the small one") })
	_, err := w.bus.Publish(w.ctx(), events.Event{Data: []byte("x")}, fn, functions.Interactive)
	must(t, err)
	r := w.post(fnPath, "x")
	if r.StatusCode != http.StatusOK || r.body != "from the small one" || r.Header.Get("Stoker-Function") != "default/small" {
		t.Errorf("%d %v %q", r.StatusCode, r.Header, r.body)
	}
	if r := w.post(fnPath+"?async=1", "x"); r.StatusCode != http.StatusTooManyRequests {
		t.Errorf("asynchronous: %d %s", r.StatusCode, r.body)
	}
	w.deploy(small, func(a *api.Admission) { a.Failing = &api.Failure{Cause: "crashed"} })
	r = w.post(fnPath, "x")
	if e := r.failure(t); r.StatusCode != http.StatusTooManyRequests || e.Cause != events.CauseQueueFull || !strings.Contains(e.Message, "default/tinylm") || r.Header.Get("Retry-After") == "" {
		t.Errorf("with a failing fallback: %d %s", r.StatusCode, r.body)
	}
}

// TestSuggestionsDoNotKeepTheControllerBusy.
func TestSuggestionsDoNotKeepTheControllerBusy(t *testing.T) {
	w := newWorld(t)
	for range 100 {
		w.post("/functions/default/tinylmx", "x")
	}
	if w.control.lists > 10 {
		t.Errorf("the controller listed its functions %d times", w.control.lists)
	}
}
