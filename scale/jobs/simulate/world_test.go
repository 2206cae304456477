package simulate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/scale/jobs"
)

// drawn is a trace of short jobs and few long ones, of all sizes up to the pool's.
func drawn(seed uint64, n, gpus, gap int) []Submission {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]Submission, n)
	at := time.Duration(0)
	for i := range out {
		at += time.Duration(r.IntN(2*gap)) * time.Second
		d := time.Duration(r.IntN(600)) * time.Second
		if r.IntN(10) == 0 {
			d *= 100
		}
		out[i] = Submission{
			ID: fmt.Sprint(i), User: fmt.Sprint(r.IntN(4)), Name: fmt.Sprint(r.IntN(2)), At: at, Duration: d,
			GPUs: min(gpus, 1<<r.IntN(5)),
		}
	}
	return out
}

// TestEveryJobEndsOnceWithItsWorkDone under every policy, and the pool is never over-committed,
// which Run itself refuses.
func TestEveryJobEndsOnceWithItsWorkDone(t *testing.T) {
	for seed := range uint64(6) {
		for _, name := range Names() {
			c := Config{GPUs: 16, Overhead: time.Duration(seed) * 15 * time.Second, Policy: name}
			trace := drawn(seed, 200, c.GPUs, 60)
			out, err := Run(c, trace)
			if err != nil || len(out) != len(trace) {
				t.Fatalf("seed %d, %s: %d of %d ended, %v", seed, name, len(out), len(trace), err)
			}
			seen := map[string]bool{}
			for _, o := range out {
				worked := o.JCT() - o.Wait - time.Duration(o.Preemptions)*c.Overhead
				if seen[o.ID] || worked != o.Duration || o.Wait < 0 {
					t.Fatalf("seed %d, %s: %+v worked %v", seed, name, o, worked)
				}
				seen[o.ID] = true
			}
		}
	}
}

func TestTheSameTraceGivesTheSameFigures(t *testing.T) {
	for _, name := range Names() {
		c := Config{GPUs: 16, Overhead: time.Minute, Policy: name}
		first, err := Run(c, drawn(3, 150, 16, 60))
		again, err2 := Run(c, drawn(3, 150, 16, 60))
		if err := errors.Join(err, err2); err != nil || !reflect.DeepEqual(first, again) {
			t.Errorf("%s: differs, %v", name, err)
		}
	}
}

// TestALargeGangNeverStarves: a gang of the whole pool, with more short jobs coming than there is
// room for, runs once it has waited for the patience, as soon as attempts can be preempted.
func TestALargeGangNeverStarves(t *testing.T) {
	const gpus, gap = 8, time.Minute
	overhead := 30 * time.Second
	trace := []Submission{{ID: "gang", User: "g", GPUs: gpus, Duration: time.Hour}}
	for i := range int(26 * time.Hour / gap) {
		trace = append(trace, Submission{ID: fmt.Sprint(i), User: "s", GPUs: 1, At: time.Second + time.Duration(i)*gap, Duration: 10 * time.Minute})
	}
	out, err := Run(Config{GPUs: gpus, Overhead: overhead, Policy: "stoker"}, trace)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(out, func(o Outcome) bool { return o.ID == "gang" })
	if most := jobs.Patience + jobs.LossesWorked*overhead; out[at].Wait > most || out[at].Wait < time.Hour {
		t.Errorf("the gang waited for %v, want at most %v, and much, or this shows nothing", out[at].Wait, most)
	}
}

// TestStokerNeedsNoDurations: it comes close to those who know them, where there is as much work
// as the pool can do, and stays ahead of the others where there is twice as much.
func TestStokerNeedsNoDurations(t *testing.T) {
	for gap, most := range map[int]float64{160: 1.25, 80: 2} {
		compare(t, gap, most)
	}
}

// compare submits a job every so many seconds.
func compare(t *testing.T, gap int, most float64) {
	t.Helper()
	means := map[string]float64{}
	for _, name := range Names() {
		c := Config{GPUs: 128, Overhead: 30 * time.Second, Policy: name}
		out, err := Run(c, drawn(7, 1500, c.GPUs, gap))
		if err != nil {
			t.Fatal(err)
		}
		means[name] = Summary(c, out, nil).MeanJCT
	}
	best := means[NameSRTF]
	if got := means["stoker"]; got > most*best || got > means["las"] || got > means["qssf"] || got > means["fifo-skip"] {
		t.Errorf("a job every %d s: stoker %.0f s, with knowledge %.0f s; all %v", gap, got, best, means)
	}
}

// TestSummaryByHand: two GPUs, three jobs, first come first served.
func TestSummaryByHand(t *testing.T) {
	c := Config{GPUs: 2, Overhead: 10 * time.Second, Policy: "fifo"}
	out, err := Run(c, []Submission{
		{ID: "a", GPUs: 2, Duration: 100 * time.Second}, {ID: "b", GPUs: 1, At: 10 * time.Second, Duration: 50 * time.Second},
		{ID: "c", GPUs: 1, At: 20 * time.Second, Duration: 200 * time.Second},
	})
	want := Result{
		Policy: "fifo", Jobs: 3, MeanJCT: (100 + 140 + 280) / 3.0, P50: 140, P99: 280, MeanWait: (0 + 90 + 80) / 3.0, WaitP99: 90, WaitMax: 90,
		InBound: 1, Makespan: 300, Utilisation: (200 + 50 + 200) / 600.0,
	}
	if got := Summary(c, out, out); err != nil || got != want {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	c.Policy = NameSRTF
	out, err = Run(c, []Submission{{ID: "a", GPUs: 2, Duration: 100 * time.Second}, {ID: "b", GPUs: 1, At: 10 * time.Second, Duration: 50 * time.Second}})
	if got := Summary(c, out, nil); err != nil || got.Preemptions != 1 || got.Lost != 20 || got.MeanWait != 25 || got.Makespan != 160 || got.InBound != 0.5 {
		t.Errorf("with a preemption: %+v, %v", got, err)
	}
}

func TestRunRefuses(t *testing.T) {
	one := func(s Submission) []Submission { s.ID = "x"; return []Submission{s} }
	for _, c := range []struct {
		config Config
		trace  []Submission
		want   error
		text   string
	}{
		{Config{GPUs: 0, Policy: "fifo"}, nil, ErrJobs, "0 GPUs"},
		{Config{GPUs: 1, Overhead: -1, Policy: "fifo"}, nil, ErrJobs, "overhead -1ns"},
		{Config{GPUs: 1, Policy: "fifo"}, one(Submission{GPUs: 2}), ErrJobs, "job x asks for 2 GPUs and there are 1"},
		{Config{GPUs: 1, Policy: "fifo"}, one(Submission{GPUs: 1, At: -1}), ErrJobs, "job x comes at"},
		{Config{GPUs: 1, Policy: "best"}, nil, jobs.ErrPolicy, "allowed: stoker, fifo, fifo-skip, las, qssf, srtf, srgt"},
	} {
		if _, err := Run(c.config, c.trace); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v, want %v with %q", c.config, err, c.want, c.text)
		}
	}
}
