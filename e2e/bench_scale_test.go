package e2e

import (
	"math"
	"testing"

	"stoker.dev/stoker/cmd/stoker/bench"
)

func TestBenchScaleCountsEveryChange(t *testing.T) {
	t.Parallel()
	const replicas, functions, each, requests = 6, 5, 2, 20
	r := measured[bench.ScaleReport](t, "scale", "--replicas", "6", "--functions", "5", "--each", "2", "--requests", "20", "--round", "2s")
	for name, c := range map[string]struct {
		step bench.StepReport
		want int
	}{
		"one out": {r.One.Out, replicas - 1}, "one in": {r.One.In, replicas - 1},
		"many out": {r.Many.Out, functions * each}, "many in": {r.Many.In, functions * each},
	} {
		s := c.step
		if s.Changes != c.want {
			t.Errorf("%s: %d changes, want %d", name, s.Changes, c.want)
		}
		if s.Replicas.Max <= 0 || s.Replicas.P50 > s.Replicas.Max || s.Replicas.Max > s.AllMS || s.AllMS > s.DoneMS {
			t.Errorf("%s: times that contradict each other: %+v", name, s)
		}
		if s.Decisions == 0 || s.Evaluations < s.Decisions || s.Syncs == 0 || s.LedgerWrites == 0 || s.TemporalEvents == 0 {
			t.Errorf("%s: capacity changed without decisions, syncs, leases or history: %+v", name, s)
		}
		for what, per := range map[string][2]float64{
			"decisions": {s.DecisionsPerSec, float64(s.Decisions)}, "evaluations": {s.EvaluationsPerSec, float64(s.Evaluations)},
		} {
			if over := per[1] / s.DoneMS * 1000; math.Abs(per[0]-over) > over/1000 {
				t.Errorf("%s: %v %s per second, and %v over the step", name, per[0], what, over)
			}
		}
		if s.LedgerConflicts != 0 {
			t.Errorf("%s: %d conflicts with one writer", name, s.LedgerConflicts)
		}
	}
	if asked := 2 * functions * each; r.Many.Requests != asked || r.Many.Answered != asked || r.Many.Lost != 0 {
		t.Errorf("of %d requests %d were acknowledged, %d answered, %d lost", asked, r.Many.Requests, r.Many.Answered, r.Many.Lost)
	}
	if r.One.Replicas != replicas || r.Many.Functions != functions || r.DecidePerSec <= 0 || r.LoadAverage == "" {
		t.Errorf("got %+v", r)
	}
	if r.Load == nil {
		t.Fatal("no rounds of requests")
	}
	checkRounds(t, *r.Load, requests)
}
