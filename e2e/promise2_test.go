package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestPromise2AtZeroCostsZero looks at what a function at zero leaves in the world: before its first request, and
// after it has served some and gone to sleep.
func TestPromise2AtZeroCostsZero(t *testing.T) { t.Parallel(); atZeroCostsZero(t, here) }

func atZeroCostsZero(t *testing.T, up starter) {
	p := up(t, harness.Options{})
	f := p.Function("sleepy")
	f.Spec.Scaling.KeepAlive = "1s"
	p.Apply(f)
	p.AwaitZero("sleepy")
	checkNothingHeld(t, p)

	wakes := wakeCount(t, p)
	id := p.MustPublish(p.JetStream(), "sleepy", functions.Standard, "first")
	p.AwaitRecords("sleepy", []string{id})
	if now := wakeCount(t, p); now <= wakes {
		t.Errorf("the first event was not pushed to the controller: %v wakes before, %v after", wakes, now)
	}
	first := decisions(t, p, "sleepy")[1:] // the first one is about a function that nobody asked yet
	if len(first) == 0 || first[0].Reason != scale.ReasonWakeFromZero || first[0].Inputs.Pending == 0 {
		t.Errorf("the first decision after the event is not a wake with its demand: %+v", first)
	}

	p.AwaitZero("sleepy")
	checkNothingHeld(t, p)
}

// checkNothingHeld wants no process, no lease on a GPU and no consumer of requests.
func checkNothingHeld(t *testing.T, p *harness.Platform) {
	t.Helper()
	if left := p.Processes(); len(left) > 0 {
		t.Errorf("processes at zero: %v", left)
	}
	st, err := p.API.Platform(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Leases) > 0 || st.Free != st.Capacity {
		t.Errorf("leases at zero: %+v, %d of %d GPUs free", st.Leases, st.Free, st.Capacity)
	}
	harness.Eventually(t, "no consumers", func() (bool, any) {
		names := requestConsumers(t, p)
		return len(names) == 0, names
	})
}

// requestConsumers lists the consumers of every shard.
func requestConsumers(t *testing.T, p *harness.Platform) []string {
	t.Helper()
	var out []string
	streams := p.JetStream().ListStreams(t.Context())
	for s := range streams.Info() {
		if strings.HasPrefix(s.Config.Name, "STOKER_FN_") && s.State.Consumers > 0 {
			out = append(out, fmt.Sprintf("%d on %s", s.State.Consumers, s.Config.Name))
		}
	}
	if streams.Err() != nil {
		t.Fatal(streams.Err())
	}
	return out
}

// wakeMetric is the counter of events that were pushed to the controller for functions at zero.
var wakeMetric = regexp.MustCompile(`(?m)^stoker_[a-z_]*wakes_total(?:\{[^}]*\})? (\S+)$`)

func wakeCount(t *testing.T, p *harness.Platform) float64 {
	t.Helper()
	all := metrics(t, p)
	m := wakeMetric.FindStringSubmatch(all)
	if m == nil {
		t.Fatalf("no counter of wakes among the metrics:\n%s", all)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// metrics is the page for Prometheus.
func metrics(t *testing.T, p *harness.Platform) string {
	t.Helper()
	resp, err := http.Get(p.Server.HTTP + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// manyAtZero is how many functions sleep in the test of their cost.
const manyAtZero = 24

// TestPromise2NobodyPollsForAFunctionAtZero watches every request to the broker's API while many functions sleep: the
// controller may look at shards, and never at a function.
func TestPromise2NobodyPollsForAFunctionAtZero(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	for i := range manyAtZero {
		p.Apply(p.Function(fmt.Sprintf("asleep-%02d", i)))
	}
	p.AwaitZero(fmt.Sprintf("asleep-%02d", manyAtZero-1))

	sub, err := p.Admin().SubscribeSync("$JS.API.>")
	if err != nil {
		t.Fatal(err)
	}
	reconciles, calls := 0, 0
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	// Each reconcile asks once for every shard in use, so this covers several of them.
	for reconciles < 4*min(manyAtZero, events.Shards) {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			t.Fatalf("after %d calls, %d of them of a reconcile: %v", calls, reconciles, err)
		}
		calls++
		if strings.Contains(m.Subject, "asleep-") || strings.Contains(string(m.Data), "asleep-") {
			t.Errorf("a call for a function at zero: %s %s", m.Subject, m.Data)
		}
		if strings.HasPrefix(m.Subject, "$JS.API.STREAM.INFO.STOKER_FN_") {
			reconciles++
		}
	}
	if other := calls - reconciles; other > reconciles {
		t.Errorf("%d calls of the broker's API beside %d of the reconcile, while nothing happens", other, reconciles)
	}
}

// decisions reads the journal's decisions about a function, oldest first.
func decisions(t *testing.T, p *harness.Platform, name string) []scale.Decision {
	t.Helper()
	var out []scale.Decision
	for _, e := range journal(t, p, name) {
		if e.What == "decided" {
			out = append(out, decode[scale.Decision](t, e.Data))
		}
	}
	return out
}

// journal reads everything that was said about a function.
func journal(t *testing.T, p *harness.Platform, name string) []api.Event {
	t.Helper()
	var out []api.Event
	k := harness.Key(name)
	for e, err := range p.API.Events(t.Context(), api.EventFilter{Namespace: k.Namespace, Function: k.Name, Since: time.Hour}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}
