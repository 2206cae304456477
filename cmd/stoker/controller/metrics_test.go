package controller

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// shelf is a ledger to look at.
type shelf struct {
	Ledger
	l scale.Ledger
}

func (s shelf) Snapshot() scale.Ledger { return s.l }

// measured is a controller whose loop does not run, with two GPUs of which one is reserved: what
// its collectors tell, they tell without the loop.
func measured(t *testing.T) (*Controller, *prometheus.Registry) {
	t.Helper()
	c := newIdle()
	var l scale.Ledger
	l.SetDevices("here", []scale.Device{{ID: "sim-0", Healthy: true}, {ID: "sim-1", Healthy: true}}, now)
	if _, err := l.Reserve(scale.Ask{Holder: "a", Owner: "function default/f", GPUs: 1}, time.Minute, now); err != nil {
		t.Fatal(err)
	}
	c.Ledger, c.Pool = shelf{l: l}, "default"
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c.Collectors()...)
	return c, r
}

// serving is a function with one ready replica that has done something.
func serving(name string) *function {
	f := newFunction(functions.Key{Namespace: "default", Name: name})
	f.rec.Function.Spec.Resources.GPUs = 2
	f.stored.State.Last.Target = 1
	f.stored.Served = 5
	f.stored.Cold = &api.ColdStart{TotalMS: 1500}
	f.counts = map[functions.Class]int{functions.Batch: 7}
	f.replicas["r"] = &replica{id: "r", phase: workflows.PhaseReady, beatAt: now, beat: events.Heartbeat{InFlight: 3, Totals: events.Totals{UsefulSec: 4, ColdSec: 1}}}
	return f
}

func TestMetricsReadWellAndMatchTheGolden(t *testing.T) {
	c, r := measured(t)
	c.metrics.Wakes.Add(3)
	f := serving("f")
	c.show(f)
	f.replicas["r"].beat.Totals.UsefulSec += 10
	f.stored.Served += 2
	c.show(f)
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	want, err := os.Open(filepath.Join("testdata", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	if err := testutil.GatherAndCompare(r, want); err != nil {
		t.Error(err)
	}
}

// TestCountersBeginWithTheProcess: a total that was read back from before is no new work, and one
// that turns out lower later takes nothing back.
func TestCountersBeginWithTheProcess(t *testing.T) {
	c, r := measured(t)
	f := serving("f")
	wantServed := func(n int) {
		t.Helper()
		want := fmt.Sprintf("# HELP stoker_function_served_requests_total Requests answered by replicas, since the platform's start.\n"+
			"# TYPE stoker_function_served_requests_total counter\nstoker_function_served_requests_total{function=\"f\",namespace=\"default\"} %d\n", n)
		if err := testutil.GatherAndCompare(r, strings.NewReader(want), "stoker_function_served_requests_total"); err != nil {
			t.Error(err)
		}
	}
	c.show(f)
	wantServed(0)
	f.stored.Served = 9
	c.show(f)
	wantServed(4)
	f.stored.Served = 2 // another controller's state was taken over
	c.show(f)
	wantServed(4)
	f.stored.Served = 11
	c.show(f)
	wantServed(6)
}

func TestSeriesAreBounded(t *testing.T) {
	c, r := measured(t)
	for i := range maxShown + 3 {
		c.show(newFunction(functions.Key{Namespace: "default", Name: fmt.Sprintf("f%04d", i)}))
	}
	n, err := testutil.GatherAndCount(r, "stoker_function_target_replicas")
	if err != nil || n != maxShown {
		t.Errorf("%d functions have series, want %d; %v", n, maxShown, err)
	}
	const want = "# HELP stoker_functions_without_series Functions deployed beyond the number that has series of its own.\n" +
		"# TYPE stoker_functions_without_series gauge\nstoker_functions_without_series 3\n"
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "stoker_functions_without_series"); err != nil {
		t.Error(err)
	}
}
