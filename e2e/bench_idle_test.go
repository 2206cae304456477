package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/bench"
	"stoker.dev/stoker/e2e/harness"
)

// benchPatience is for a whole benchmark: it starts platforms and waits for functions to rest several times.
const benchPatience = 5 * time.Minute

// measured runs `stoker bench … --json` as a user does and reads its report. Nothing here is about speed: the tests
// look at what a report holds and whether its numbers agree with each other.
func measured[R any](t *testing.T, args ...string) R {
	t.Helper()
	harness.Bin(t, harness.Agent) // beside stoker, where it is found
	stoker := harness.Bin(t, harness.Stoker)
	ctx, cancel := context.WithTimeout(t.Context(), benchPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, stoker, append([]string{"bench"}, append(args, "--json")...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("stoker bench %v: %v\n%s", args, err, errs.Bytes())
	}
	var rep R
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rep); err != nil || dec.More() {
		t.Fatalf("stoker bench %v: not one report: %v", args, err)
	}
	return rep
}

func TestBenchIdleMeasuresTwoPlatforms(t *testing.T) {
	t.Parallel()
	const deployed, requests = 12, 20
	r := measured[bench.IdleReport](t, "idle", "--functions", "12", "--settle", "1s", "--for", "6s", "--requests", "20", "--round", "6s")
	if r.Functions != deployed || r.WindowSec != 6 || r.SettleSec != 1 || r.LoadAverage == "" {
		t.Errorf("not what was asked for: %+v", r)
	}
	for name, s := range map[string]bench.SideReport{"idle": r.Idle, "empty": r.Empty} {
		if s.CPUPercent <= 0 || s.RSSMB < 10 || s.HeapMB <= 0 || s.Samples < 3 || s.Goroutines < 10 || s.RSSPerSecond.Max < s.RSSPerSecond.P50 {
			t.Errorf("%s: a process that was not looked at: %+v", name, s)
		}
		if s.Consumers != 0 {
			t.Errorf("%s: %d consumers, want none at zero", name, s.Consumers)
		}
		if s.TemporalEvents != 0 {
			t.Errorf("%s: %d events in the workflows of functions at zero", name, s.TemporalEvents)
		}
	}
	if r.CPUPercent != r.Idle.CPUPercent || r.RSSMBEmpty != r.Empty.RSSMB || r.NATSMessages != r.Idle.NATSMessages || r.NATSMessages == 0 {
		t.Errorf("the summary is not that of the sides: %+v", r)
	}
	if more := r.Idle.Subscriptions - r.Empty.Subscriptions; more != 4*deployed {
		t.Errorf("%d subscriptions more than on the empty platform, want for each of %d functions its three subjects and its wakes", more, deployed)
	}
	if r.Warm == nil {
		t.Fatal("no rounds on a warm function")
	}
	checkRounds(t, *r.Warm, requests)
}

// checkRounds wants every request answered and none of them heard of by the controller.
func checkRounds(t *testing.T, r bench.LoadReport, requests int) {
	t.Helper()
	if len(r.Rounds) != 3 {
		t.Fatalf("%d rounds, want one without requests, a small and a large one", len(r.Rounds))
	}
	for i, want := range []int{0, requests, 10 * requests} {
		x := r.Rounds[i]
		if x.Requests != want || x.Answered != want || x.Heartbeats == 0 || x.Received < x.Heartbeats || x.Seconds <= 0 {
			t.Errorf("round %d: %+v, want %d requests, all answered", i, x, want)
		}
		if x.Wakes != 0 {
			t.Errorf("round %d: %d wakes of a function that is awake", i, x.Wakes)
		}
		if x.Broker <= 3*x.Requests {
			t.Errorf("round %d: the broker handled %d messages for %d requests: it is not the one that was loaded", i, x.Broker, x.Requests)
		}
	}
	// A message per request would be 1; what goes by time is the same in both rounds, but for its edges.
	if p := r.PerRequest; p.Received > 0.5 || p.TemporalEvents > 0.5 || p.Revisions > 0.5 || p.Heartbeats > 0.5 || p.Syncs > 0.5 {
		t.Errorf("what reaches the platform grows with the requests: %+v", p)
	}
}
