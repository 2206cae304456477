package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/simulate"
)

// fidelityTrace is when requests are published, seconds from the first: bursts and single ones, with gaps shorter and
// longer than the time that replicas are kept.
var fidelityTrace = []float64{0, 0.1, 0.2, 2, 4, 5, 25, 25.2, 27, 50, 50.05, 50.1, 50.15, 50.2, 50.25, 52}

// fidelityKeep is how long an idle replica of that function is kept.
const fidelityKeep = 8 * time.Second

// fidelityError is how far the simulated GPU time may be from the live one, in one of so many tries: on a machine that
// others use, a platform that is short of processor time needs replicas that the simulated one does not.
const (
	fidelityError = 0.10
	fidelityTries = 3
)

// TestTheSimulatorIsTheLiveSystem serves a short trace with the real model, and then asks twice whether the simulator
// can be believed: what the platform recorded is decided again the same, decision by decision, and the trace as it
// was served, simulated with the cold starts as they were measured, costs the GPU time that it did cost.
func TestTheSimulatorIsTheLiveSystem(t *testing.T) { // not beside others, whose load would make it need another replica
	dir := t.TempDir()
	checkpoint := filepath.Join(dir, "model")
	if out, err := exec.CommandContext(t.Context(), harness.Bin(t, harness.TinyLM), "train", "--steps", "20", "--out", checkpoint).CombinedOutput(); err != nil {
		t.Fatalf("train: %v\n%s", err, out)
	}
	for range fidelityTries {
		off, live, allowed := serveAndSimulate(t, t.TempDir(), checkpoint)
		if off <= allowed {
			return
		}
		t.Logf("the simulator is off by %.2f of %.2f GPU-seconds, allowed: %.2f", off, live, allowed)
	}
	t.Errorf("the simulator is off each time")
}

// serveAndSimulate serves the trace on a platform of its own and simulates it as it was served. It returns by how many
// GPU-seconds the simulation is off, of how many, and by how many it may be.
func serveAndSimulate(t *testing.T, dir, checkpoint string) (off, live, allowed float64) {
	t.Helper()
	decisions := filepath.Join(dir, "decisions.jsonl")
	p := harness.Up(t, harness.Options{GPUs: 4, Env: []string{"STOKER_DECISIONS=" + decisions}})
	f := functions.Function{
		APIVersion: functions.APIVersion, Kind: functions.KindFunction, Metadata: functions.Metadata{Name: "tinylm", Namespace: harness.Namespace},
		Spec: functions.Spec{
			Runtime: functions.Runtime{Protocol: functions.ProtocolOpenAI, Local: &functions.Local{
				Command: []string{harness.Bin(t, harness.TinyLM), "serve", "--checkpoint", checkpoint},
			}},
			Resources: functions.Resources{GPUs: 1},
			Scaling:   functions.Scaling{Max: 4, Slots: 2, KeepAlive: functions.KeepAlive(fidelityKeep.String())},
		},
	}
	p.Apply(f)

	began := time.Now()
	var ids []string
	for i, at := range fidelityTrace {
		select {
		case <-time.After(time.Until(began.Add(time.Duration(at * float64(time.Second))))):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
		ids = append(ids, p.MustPublish(p.JetStream(), "tinylm", functions.Standard, fmt.Sprintf(`{"prompt":"The ship %d","max_tokens":100}`, i)))
	}
	records := p.AwaitRecords("tinylm", ids)
	p.AwaitZero("tinylm")
	live, replicas := ranUntil(livesOf(t, p, harness.Key("tinylm")), lastEnd(records))

	if said := stoker(t, p, "decide", "--replay", decisions); !strings.Contains(said, " 0 different") {
		t.Errorf("decided again: %s", said)
	}
	kept := recordedDecisions(t, decisions)
	result := simulateServed(t, p, dir, ids, records, coldStarts(kept))
	t.Logf("live: %d replicas, %.2f GPU-seconds; simulated: %d, %.2f (%.2f useful, %.2f cold, %.2f idle); %d decisions recorded",
		replicas, live, result.ColdStarts, result.GPUSeconds, result.Useful, result.Cold, result.Idle, len(kept))
	return math.Abs(result.GPUSeconds - live), live, fidelityError*live + spread(coldStarts(kept))
}

// spread is how far cold starts are from their mean, summed up in seconds: the simulator draws from them, and which
// wake had which is chance. On a machine that does nothing else it is hardly anything.
func spread(starts []time.Duration) (seconds float64) {
	mean := 0.0
	for _, s := range starts {
		mean += s.Seconds() / float64(len(starts))
	}
	for _, s := range starts {
		seconds += math.Abs(s.Seconds() - mean)
	}
	return seconds
}

// lastEnd is where a simulation of these requests ends, too.
func lastEnd(records map[string]events.Record) (last time.Time) {
	for _, r := range records {
		if r.Ended.After(last) {
			last = r.Ended
		}
	}
	return last
}

// ranUntil is how long replicas ran before a moment.
func ranUntil(lives []life, end time.Time) (seconds float64, n int) {
	for _, l := range lives {
		if l.Ended.After(end) {
			l.Ended = end
		}
		seconds += l.Ended.Sub(l.Begun).Seconds()
	}
	return seconds, len(lives)
}

func recordedDecisions(t *testing.T, file string) []scale.Recorded {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []scale.Recorded
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r scale.Recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// coldStarts are those that the platform measured, sorted.
func coldStarts(decisions []scale.Recorded) []time.Duration {
	var out []time.Duration
	for _, d := range decisions {
		out = append(out, d.Observation.ColdStarts...)
	}
	slices.Sort(out)
	return out
}

// simulateServed runs `stoker simulate` over the requests as they were served.
func simulateServed(t *testing.T, p *harness.Platform, dir string, ids []string, records map[string]events.Record, colds []time.Duration) simulate.Result {
	t.Helper()
	if len(colds) == 0 {
		t.Fatal("no cold start was recorded")
	}
	var trace, profile strings.Builder
	trace.WriteString("arrival_s,exec_s\n")
	first := records[ids[0]].Published
	for _, id := range ids {
		r := records[id]
		if r.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, r.Status, r.Cause, r.Message)
		}
		fmt.Fprintf(&trace, "%.6f,%.6f\n", r.Published.Sub(first).Seconds(), r.Ended.Sub(r.Started).Seconds())
	}
	fmt.Fprintf(&profile, "slots: 2\nmax: 4\nkeepAlive: %v\ncoldStart:\n  quantiles:\n", fidelityKeep)
	for i, c := range colds {
		fmt.Fprintf(&profile, "    %.4f: %v\n", (float64(i)+0.5)/float64(len(colds)), c)
	}
	files := map[string]string{"served.csv": trace.String(), "served.yaml": profile.String()}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := stoker(t, p, "simulate", "--trace", filepath.Join(dir, "served.csv"), "--profile", filepath.Join(dir, "served.yaml"), "--json")
	var results []simulate.Result
	if err := json.Unmarshal([]byte(out), &results); err != nil || len(results) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, r := range results {
		if r.Policy == "stoker" {
			return r
		}
	}
	t.Fatalf("no policy stoker in %s", out)
	return simulate.Result{}
}
