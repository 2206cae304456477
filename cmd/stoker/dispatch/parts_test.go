package dispatch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

var origin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// What a rank is called says which it is, whatever its job is called.
func TestTheNameOfARankIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := activities.GangRef{
			Key: functions.Key{Namespace: "ns", Name: rapid.StringMatching(`[a-z]([a-z0-9-]{0,60}[a-z0-9])?`).Draw(t, "name")},
			UID: newUID(), Generation: rapid.Uint64().Draw(t, "generation"),
		}
		n := rapid.IntRange(0, functions.MaxNodes-1).Draw(t, "rank")
		id := g.RankID(n)
		uid, generation, rank, ok := rankOf(id)
		if !ok || uid != g.UID || generation != g.Generation || rank != n {
			t.Fatalf("%s reads as %s, %d, %d, %v", id, uid, generation, rank, ok)
		}
	})
	for _, id := range []string{"", "tinylm-3f9c1e0a57", "a-b-c-d", "a-b-1--1"} {
		if _, _, _, ok := rankOf(id); ok {
			t.Errorf("%q is no rank's", id)
		}
	}
}

// The parts of an attempt's GPU time add up to what it held, whatever came of it.
func TestPartsOfAnAttemptAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string, after time.Time) time.Time {
			if rapid.Bool().Draw(t, "no "+name) {
				return time.Time{}
			}
			return after.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, name)) * time.Second)
		}
		a := api.Attempt{Nodes: rapid.IntRange(1, 8).Draw(t, "nodes"), Placed: origin, Class: rapid.SampledFrom(job.Classes()).Draw(t, "class")}
		a.Started = at("started", origin)
		a.Noticed, a.SavedAt, a.Released = at("noticed", origin), at("saved", origin), at("released", origin)
		if !a.Released.IsZero() && a.Started.After(a.Released) {
			a.Started = a.Released
		}
		if !a.Noticed.IsZero() && a.Noticed.Before(a.Started) {
			a.Noticed = a.Started
		}
		now := origin.Add(time.Hour)
		x := timeOf(a, 2, now)
		parts := x.Useful + x.Lost + x.Start + x.Drain
		if x.Useful < 0 || x.Lost < 0 || x.Start < 0 || x.Drain < 0 || parts-x.Held > 1e-6 || x.Held-parts > 1e-6 {
			t.Fatalf("%+v is split into %+v", a, x)
		}
	})
}

func TestWhatIsLostIsWhatWasNotCommitted(t *testing.T) {
	at := func(s int) time.Time { return origin.Add(time.Duration(s) * time.Second) }
	for name, c := range map[string]struct {
		a    api.Attempt
		want api.JobTime
	}{
		"killed after its checkpoint": {api.Attempt{Nodes: 1, Placed: at(0), Started: at(10), SavedAt: at(70), Released: at(100), Class: job.ClassKilled}, api.JobTime{Held: 100, Start: 10, Useful: 60, Lost: 30}},
		"saved within its grace":      {api.Attempt{Nodes: 1, Placed: at(0), Started: at(10), Noticed: at(90), SavedAt: at(95), Released: at(100), Class: job.ClassPreempted}, api.JobTime{Held: 100, Start: 10, Useful: 80, Drain: 10}},
		"finished":                    {api.Attempt{Nodes: 2, Placed: at(0), Started: at(10), Released: at(100), Class: job.ClassDone}, api.JobTime{Held: 200, Start: 20, Useful: 180}},
		"at work":                     {api.Attempt{Nodes: 1, Placed: at(0), Started: at(10)}, api.JobTime{Held: 100, Start: 10, Useful: 90}},
		"never began":                 {api.Attempt{Nodes: 1, Placed: at(0), Released: at(5), Class: job.ClassConfig}, api.JobTime{Held: 5, Start: 5}},
	} {
		if got := timeOf(c.a, 1, at(100)); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestRunsOfOneProgramHaveOneName(t *testing.T) {
	for name, want := range map[string]string{"llama": "llama", "llama-7": "llama", "sweep-12-003": "sweep-12", "7": "7", "gpt4": "gpt"} {
		if got := program(name); got != want {
			t.Errorf("%s is a run of %s, want %s", name, got, want)
		}
	}
}

func TestASparklineStaysShort(t *testing.T) {
	var list []float64
	for i := range 10_000 {
		list = addLoss(list, float64(10_000-i))
		if len(list) > maxLosses {
			t.Fatalf("%d losses are kept", len(list))
		}
	}
	if list[0] != 10_000 || !slices.IsSortedFunc(list, func(a, b float64) int { return int(b - a) }) {
		t.Errorf("the curve is %v", list)
	}
}

func TestTheLargestGangIsCountedByNodes(t *testing.T) {
	var l scale.Ledger
	l.SetInventory(nil, []scale.Device{
		{ID: "a", Node: "n", Product: "H100", Healthy: true}, {ID: "b", Node: "n", Product: "H100", Healthy: true}, {ID: "c", Node: "n", Product: "H100"},
		{ID: "d", Node: "m", Product: "H100", Healthy: true}, {ID: "e", Node: "m", Product: "L4", Healthy: true},
	}, origin)
	for per, want := range map[int]int{0: functions.MaxNodes, 1: 5, 2: 1, 4: 0} {
		if got := largest(&l, functions.JobSpec{Resources: functions.JobResources{GPUsPerNode: per}}); got != want {
			t.Errorf("with %d GPUs per node: %d nodes, want %d", per, got, want)
		}
	}
	if got := largest(&l, functions.JobSpec{Resources: functions.JobResources{GPUsPerNode: 1, Products: []string{"L4"}}}); got != 1 {
		t.Errorf("of one product: %d", got)
	}
}

func TestCheckpointsAreListedAndCleared(t *testing.T) {
	c := Checkpoints{Root: t.TempDir()}
	rec := events.JobRecord{UID: "uid"}
	rec.Job.Metadata = functions.Metadata{Namespace: "ns", Name: "train"}
	dir, err := c.Dir(rec)
	if err != nil {
		t.Fatal(err)
	}
	write := func(names ...string) {
		t.Helper()
		for _, name := range names {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("step-1/COMMITTED", "step-2/COMMITTED", "step-3/weights", "step-4", "notes/COMMITTED")
	list, err := c.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if newest, ok := contract.Newest(list); !ok || newest.Name != "step-2" || len(list) != 3 {
		t.Errorf("listed %+v", list)
	}
	if err := c.Clear(dir, contract.Keeping{Checkpoint: functions.Checkpoint{Keep: 1}}.Surplus(list)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "step-1")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the older one is still there")
	}
	own := rec
	own.Job.Spec.Checkpoint.URI = "file://" + filepath.Join(t.TempDir(), "mine")
	mine, err := c.Dir(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Erase(own), c.Erase(rec)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("a user's own directory was removed: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("the platform's is still there")
	}
	own.Job.Spec.Checkpoint.URI = "file:///proc/nowhere"
	if _, err := c.Dir(own); err == nil || !strings.Contains(err.Error(), "/proc/nowhere") {
		t.Errorf("a directory that cannot be made: %v", err)
	}
}
