package job_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// A case of testdata/verdict is one gang's end:
//
//	gang k=v …              what it is judged by beside its ranks: asked, askedAt, saved, started, step, done, missing (rank 1), before, beforeStep
//	  rank rank=0 k=v …     how a rank ended, and below it, in the same way, what is known beside:
//	  xid code=… at=…       an event of its GPUs
//	  error text="…" at=…   its error file
//	  output text="…"       its last lines
func TestVerdictGolden(t *testing.T) {
	seen := map[job.Class]bool{}
	golden(t, "verdict", func() func([]string) ([]string, error) {
		return func(lines []string) ([]string, error) {
			trial, err := readTrial(lines)
			if err != nil {
				return nil, err
			}
			v := job.Judge(trial)
			seen[v.Class] = true
			out := []string{fmt.Sprintf("> class=%s action=%s spends=%s rank=%d node=%s", v.Class, v.Action, orDash(string(v.Spends)), v.Rank, orDash(v.Node))}
			for _, e := range v.Evidence {
				out = append(out, "> "+e)
			}
			if v.Hint != "" {
				out = append(out, "> hint: "+v.Hint)
			}
			return out, nil
		}
	})
	for _, c := range job.Classes() {
		if !seen[c] {
			t.Errorf("no golden case is of the class %q", c)
		}
		if c.Meaning() == "" {
			t.Errorf("the class %q has no meaning", c)
		}
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// defaultCodes are the exit codes of a manifest that is silent.
var defaultCodes = functions.DefaultJob(functions.TrainingJob{}).Spec.Retry.ExitCodes

func readTrial(lines []string) (job.Trial, error) {
	head := words(lines[0])
	if head[0] != "gang" {
		return job.Trial{}, fmt.Errorf("begins with %q, not gang", head[0])
	}
	p := pairsOf(head[1:])
	t := job.Trial{
		Codes: defaultCodes, Asked: job.Cause(p.text("asked")), AskedAt: p.moment("askedAt"), SavedAt: p.moment("saved"),
		Started: p.moment("started"), Step: int64(p.number("step")), Done: p.flag("done"),
		Before: job.Verdict{Class: job.Class(p.text("before")), Step: int64(p.number("beforeStep"))},
	}
	if infra := p.number("infra"); infra > 0 {
		t.Codes.Infra = []int{infra}
	}
	if p.flag("missing") {
		t.Missing = []int{1}
	}
	if err := p.done(); err != nil {
		return t, err
	}
	for i := 1; i < len(lines); {
		w := words(lines[i])
		end := i + 1
		for end < len(lines) && words(lines[end])[0] != "rank" {
			end++
		}
		if w[0] != "rank" {
			return t, fmt.Errorf("%s: not a rank", lines[i])
		}
		p := pairsOf(w[1:])
		e, err := evidence(p, origin, lines[i+1:end])
		if err != nil {
			return t, err
		}
		if err := p.done(); err != nil {
			return t, fmt.Errorf("%s: %w", lines[i], err)
		}
		t.Ranks, i = append(t.Ranks, *e), end
	}
	return t, nil
}

// The verdict does not depend on the order in which ranks were reported.
func TestVerdictIgnoresTheOrderOfReports(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trial := anyTrial(t)
		want := job.Judge(trial)
		shuffled := trial
		shuffled.Ranks = rapid.Permutation(trial.Ranks).Draw(t, "order")
		if got := job.Judge(shuffled); got.Class != want.Class || got.Action != want.Action || got.Spends != want.Spends {
			t.Fatalf("%v in another order is %v", want, got)
		}
	})
}

// Whatever the evidence: the class is one of the set, what the platform did spends nothing, and a
// gang that was told to stop is not tried again.
func TestVerdictsAreFair(t *testing.T) {
	classes := map[job.Class]bool{}
	for _, c := range job.Classes() {
		classes[c] = true
	}
	rapid.Check(t, func(t *rapid.T) {
		trial := anyTrial(t)
		v := job.Judge(trial)
		if !classes[v.Class] {
			t.Fatalf("class %q is not in the set", v.Class)
		}
		if strings.HasPrefix(string(v.Action), "retry") != (v.Spends != job.SpendsNothing && v.Action != job.ActionFail) {
			t.Fatalf("%+v: a retry spends a budget, and nothing else does but a failure", v)
		}
		if trial.Asked.Final() && v.Action != job.ActionStop && v.Action != job.ActionFinish {
			t.Fatalf("told to go for %s, and yet %+v", trial.Asked, v)
		}
		if v.Action != job.ActionFinish && v.Action != job.ActionRequeue && v.Action != job.ActionStop && len(v.Evidence) == 0 {
			t.Fatalf("no evidence: %+v", v)
		}
	})
}

// anyTrial draws a gang's end, with moments that differ.
func anyTrial(t *rapid.T) job.Trial {
	trial := job.Trial{
		Codes: defaultCodes, Step: rapid.Int64Range(0, 3).Draw(t, "step"), Done: rapid.Bool().Draw(t, "done"),
		Asked:   rapid.SampledFrom([]job.Cause{job.CauseNone, job.CauseNone, job.CausePreempted, job.CauseCancelled, job.CausePaused, job.CauseFailed, job.CauseHung, job.CauseBarrier}).Draw(t, "asked"),
		AskedAt: at("40s"), Before: job.Verdict{Class: rapid.SampledFrom(job.Classes()).Draw(t, "before"), Step: 1},
	}
	if rapid.Bool().Draw(t, "started") {
		trial.Started = at("2s")
	}
	if rapid.Bool().Draw(t, "saved") {
		trial.SavedAt = origin.Add(time60(t))
	}
	for rank := range rapid.IntRange(1, 4).Draw(t, "ranks") {
		trial.Ranks = append(trial.Ranks, *anyEvidence(t, rank))
	}
	return trial
}
