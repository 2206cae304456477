package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestPromise3EveryDecisionSaysWhy takes a function through its life and then reads its journal: every change of
// capacity is there, with a reason of the closed set and the numbers it came from, and the same code comes to the
// same decision from the same numbers.
func TestPromise3EveryDecisionSaysWhy(t *testing.T) { t.Parallel(); everyDecisionSaysWhy(t, here) }

func everyDecisionSaysWhy(t *testing.T, up starter) {
	p := up(t, harness.Options{GPUs: 2})
	f := p.Function("told", "-delay", "400ms")
	f.Spec.Scaling = functions.Scaling{Max: 2, Slots: 1, KeepAlive: "1s"}
	f.Spec.Scaling.WaitSLO.P95 = functions.Duration(1e9)
	p.Apply(f)
	p.AwaitZero("told")
	js := p.JetStream()
	var ids []string
	for range 30 {
		ids = append(ids, p.MustPublish(js, "told", functions.Standard, "x"))
	}
	p.Await("told", "two replicas", func(f api.Function) bool { return f.Ready == 2 })
	p.AwaitRecords("told", ids)
	p.AwaitZero("told")
	if err := p.API.Pause(t.Context(), harness.Key("told"), true); err != nil {
		t.Fatal(err)
	}
	p.Await("told", "paused", func(f api.Function) bool { return f.Phase == scale.PhasePaused })

	var ds []scale.Decision
	harness.Eventually(t, "the journal has the last decision", func() (bool, any) { // it is written beside the decisions
		ds = decisions(t, p, "told")
		return len(ds) > 0 && ds[len(ds)-1].Epoch == p.Get("told").Last.Epoch, len(ds)
	})
	checkReasons(t, ds)
	checkSizes(t, ds, 2)
	checkSameAgain(t, p, ds)
	checkExplained(t, p, ds)
}

// checkReasons wants a reason of the closed set on every decision, in the order of their epochs.
func checkReasons(t *testing.T, ds []scale.Decision) {
	t.Helper()
	seen := map[scale.Reason]bool{}
	var epoch uint64
	for _, d := range ds {
		if !slices.Contains(scale.Reasons(), d.Reason) {
			t.Errorf("epoch %d: reason %q is not of the closed set", d.Epoch, d.Reason)
		}
		if d.Limit != scale.ReasonNone && !slices.Contains(scale.Reasons(), d.Limit) {
			t.Errorf("epoch %d: limit %q is not of the closed set", d.Epoch, d.Limit)
		}
		if d.Epoch <= epoch {
			t.Errorf("epoch %d follows %d", d.Epoch, epoch)
		}
		epoch, seen[d.Reason] = d.Epoch, true
	}
	for _, want := range []scale.Reason{scale.ReasonWakeFromZero, scale.ReasonIdle, scale.ReasonPaused} {
		if !seen[want] {
			t.Errorf("no decision for %s among %v", want, seen)
		}
	}
}

// checkSizes wants each decision's numbers to be those it was made from.
func checkSizes(t *testing.T, ds []scale.Decision, most int) {
	t.Helper()
	largest := 0
	for _, d := range ds {
		if d.Inputs.Max != most || d.Inputs.Slots != 1 {
			t.Errorf("epoch %d: inputs %+v do not hold the manifest's bounds", d.Epoch, d.Inputs)
		}
		if d.Target < 0 || d.Target > most {
			t.Errorf("epoch %d: target %d outside 0 to %d", d.Epoch, d.Target, most)
		}
		if d.Reason == scale.ReasonWakeFromZero && d.Inputs.Pending == 0 {
			t.Errorf("epoch %d: woken by nothing: %+v", d.Epoch, d.Inputs)
		}
		largest = max(largest, d.Target)
	}
	if largest != most {
		t.Errorf("the journal's largest target is %d, and %d replicas ran", largest, most)
	}
}

// checkSameAgain decides the first wake again from the journal's own numbers.
func checkSameAgain(t *testing.T, p *harness.Platform, ds []scale.Decision) {
	t.Helper()
	i := slices.IndexFunc(ds, func(d scale.Decision) bool { return d.Reason == scale.ReasonWakeFromZero })
	if i < 0 {
		return // said above
	}
	was := ds[i]
	fn := p.Get("told")
	obs := scale.Observation{
		Pending: map[functions.Class]int{functions.Standard: was.Inputs.Pending}, InFlight: was.Inputs.InFlight, FreeGPUs: was.Inputs.FreeGPUs,
	}
	for range 2 {
		_, again := scale.Decide(scale.SpecOf(fn.Manifest, was.Revision), scale.State{}, obs, was.At)
		if again.Target != was.Target || again.Reason != was.Reason || again.Limit != was.Limit || again.Phase != was.Phase {
			t.Errorf("the same inputs gave %d (%s, %s) in production and %d (%s, %s) here", was.Target, was.Reason, was.Limit, again.Target, again.Reason, again.Limit)
		}
	}
}

// checkExplained compares what `stoker explain` prints with the journal.
func checkExplained(t *testing.T, p *harness.Platform, ds []scale.Decision) {
	t.Helper()
	text := stoker(t, p, "explain", "told")
	for _, d := range ds {
		contains(t, "stoker explain told", text, string(d.Reason))
	}
	var e api.Explanation
	if err := json.Unmarshal([]byte(stoker(t, p, "explain", "told", "-o", "json")), &e); err != nil {
		t.Fatal(err)
	}
	if len(e.Decisions) != min(len(ds), scale.MaxRecent) || len(e.Lines) == 0 {
		t.Errorf("explain has %d decisions and %d lines, the journal %d decisions", len(e.Decisions), len(e.Lines), len(ds))
	}
	for i, d := range e.Decisions { // newest first
		if want := ds[len(ds)-1-i]; d.Epoch != want.Epoch || d.Reason != want.Reason || d.Target != want.Target {
			t.Errorf("explain has %d %s %d where the journal has %d %s %d", d.Epoch, d.Reason, d.Target, want.Epoch, want.Reason, want.Target)
		}
	}
}
