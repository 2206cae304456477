package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// recorded has a platform with the records of so many requests, a second apart, each of which took two.
func recorded(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t, nil)
	for i := range n {
		at := time.Now().Add(-time.Minute).Add(time.Duration(i) * time.Second)
		_, err := w.bus.WriteRecord(t.Context(), events.Record{
			ID: fmt.Sprint(i), Source: "s", Function: functions.Key{Namespace: "default", Name: "tinylm"}, Class: functions.Standard,
			Status: events.StatusOK, Attempt: 1, Published: at, Started: at, Ended: at.Add(2 * time.Second),
		}, time.Hour)
		must(t, err)
	}
	return w
}

// TestSimulateWhatWasRecorded runs a platform's own records through the policies, and plans for them.
func TestSimulateWhatWasRecorded(t *testing.T) {
	w := recorded(t, 5)
	got := w.run("simulate", "--record-from", "--json", "--policy", "peak")
	var results []struct {
		Requests int     `json:"requests"`
		Useful   float64 `json:"useful"`
	}
	// Each of five requests keeps a replica of one slot busy for two seconds.
	if err := json.Unmarshal([]byte(got.out), &results); err != nil || len(results) != 1 || results[0].Requests != 5 || math.Abs(results[0].Useful-10) > 0.01 {
		t.Fatalf("%+v, %v", got, err)
	}
	wants(t, "what it took", got.err, "5 requests of 1 function recorded from ")
	fn := manifest(t, "f.yaml", manifestText)
	plan := w.run("plan", "--record-from", "--function", "tinylm", "--since", "7d", "--manifest", fn)
	if plan.code != 0 {
		t.Errorf("%+v", plan)
	}
	wants(t, "plan", plan.out, "default/tinylm", "keepAlive")
}

func TestSimulateWhatWasRecordedRefuses(t *testing.T) {
	w := recorded(t, 1)
	_, err := w.bus.WriteRecord(t.Context(), events.Record{
		ID: "shed", Source: "s", Function: functions.Key{Namespace: "chat", Name: "qwen"}, Status: events.StatusShed, Published: noon, Ended: noon,
	}, time.Hour)
	must(t, err)
	for args, want := range map[string]string{
		"--record-from --trace x.csv":               "if any flags in the group",
		"--since 1h --trace x.csv":                  "--function and --since choose from what was recorded: add --record-from",
		"--record-from --since soon":                `since "soon": allowed: how long ago`,
		"--record-from --function Bad_Name":         "names no function",
		"--record-from -n nobody":                   "nothing that ran to its end is recorded: a record is kept for",
		"--record-from --function chat/qwen":        "(left out, since they did not run to their end: 1 shed)",
		"--record-from --server http://127.0.0.1:1": "no platform answers",
	} {
		if got := w.run(append([]string{"simulate"}, strings.Fields(args)...)...); got.code == 0 || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v, want %q", args, got, want)
		}
	}
}
