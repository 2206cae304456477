package jobs

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// job is written as "gpus waited" or "gpus waited attained running": durations.
func job(id, text string) Job {
	f := strings.Fields(text)
	var gpus int
	if _, err := fmt.Sscan(f[0], &gpus); err != nil {
		panic(err)
	}
	d := func(i int) time.Duration {
		if i >= len(f) {
			return 0
		}
		v, err := time.ParseDuration(f[i])
		if err != nil {
			panic(err)
		}
		return v
	}
	j := Job{ID: id, User: "u", GPUs: gpus, Preemptible: true, Loss: 30 * time.Second, Attained: d(2), Submitted: now.Add(-d(1) - d(2) - d(3))}
	if len(f) > 3 {
		j.Started = now.Add(-d(3))
	}
	return j
}

func snapshot(gpus int, texts ...string) Snapshot {
	s := Snapshot{Now: now, GPUs: gpus}
	for i, text := range texts {
		s.Jobs = append(s.Jobs, job(string(rune('a'+i)), text))
	}
	return s
}

// told is a plan in short.
func told(p Plan) string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, fmt.Sprintf("%s %s %s %d/%d", s.Action, s.Job, s.Reason, s.Inputs.GPUs, s.Inputs.Free))
	}
	return strings.Join(out, ", ")
}

// goldenPlans are policies, jobs and what is to happen.
var goldenPlans = []struct {
	name, policy string
	gpus         int
	jobs         []string
	want         string
}{
	{"nobody waits", "stoker", 8, []string{"4 0s 0s 1h"}, ""},
	{"room for all", "stoker", 8, []string{"4 0s 0s 1h", "4 0s"}, "admit b turn 4/4"},
	{"head of line", "fifo", 8, []string{"4 0s 0s 1h", "8 5m", "2 1m"}, ""},
	{"smaller jobs pass", "fifo-skip", 8, []string{"4 0s 0s 1h", "8 5m", "2 1m"}, "admit c pass 2/4"},
	{"older first", "fifo-skip", 8, []string{"8 5m", "2 1m"}, "admit a turn 8/8"},
	{"second queue gives way", "las", 8, []string{"8 0s 0s 1h", "2 1m"}, "preempt a outranked 8/0, admit b ahead 2/8"},
	{"first queue in order", "las", 8, []string{"8 0s 0s 1m", "2 1m"}, ""},
	{"shorter expected service", "qssf", 4, []string{"4 2m", "1 1m"}, "admit b turn 1/4"},
	{"a long job makes room for a fresh one", "stoker", 8, []string{"8 0s 0s 48h", "1 1s"}, "preempt a outranked 8/0, admit b ahead 1/8"},
	{"equals do not swap", "stoker", 1, []string{"1 0s 0s 5m", "1 0s 5m"}, ""},
	{"a new attempt is left alone", "stoker", 8, []string{"8 0s 48h 1m", "1 1s"}, ""},
	{"who has waited for the patience goes first", "stoker", 8, []string{"1 0s 0s 1h", "8 24h 300h"}, "preempt a outranked 1/7, admit b overdue 8/8"},
	{"only the first of the overdue, beyond their share", "stoker", 8, []string{"4 24h 300h", "4 24h 300h", "5 1s"}, "admit a overdue 4/8, admit b pass 4/4"},
	{"GPUs vanished", "stoker", 4, []string{"4 0s 0s 1h", "4 0s 0s 1h"}, "preempt b vanished 4/-4"},
	{"GPUs vanished, nobody is preempted", "fifo", 4, []string{"4 0s 0s 1h", "4 0s 0s 1h", "1 0s"}, ""},
	{"larger than the pool", "stoker", 4, []string{"8 1h", "1 1s"}, "admit b turn 1/4"},
}

func TestPlansAreAsWritten(t *testing.T) {
	seen := map[Reason]bool{}
	for _, c := range goldenPlans {
		t.Run(c.name, func(t *testing.T) {
			policy, err := Named(c.policy)
			if err != nil {
				t.Fatal(err)
			}
			p := policy.Plan(&History{}, snapshot(c.gpus, c.jobs...))
			if got := told(p); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			for _, s := range p.Steps {
				seen[s.Reason] = true
			}
		})
	}
	for _, c := range goldenTurns {
		t.Run(c.name, func(t *testing.T) {
			s := c.snapshot()
			p, waiting := Explain(&History{}, s)
			if got := tellTurn(p, waiting); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			for _, st := range p.Steps {
				seen[st.Reason] = true
			}
			if again := Stoker(&History{}, s); !reflect.DeepEqual(p, again) {
				t.Errorf("explained %v, planned %v", p, again)
			}
		})
	}
	for _, r := range Reasons() {
		if !seen[r] || r.Meaning() == "" {
			t.Errorf("reason %q: in a case %t, meaning %q", r, seen[r], r.Meaning())
		}
	}
	if len(seen) != len(Reasons()) || Reason("x").Meaning() != "" {
		t.Errorf("reasons seen %v, all %v", seen, Reasons())
	}
}

// TestHeldJobsKeepTheirGPUs: of a job that is not preemptible, or has not run for its minimum,
// nobody takes GPUs.
func TestHeldJobsKeepTheirGPUs(t *testing.T) {
	for name, hold := range map[string]func(*Job){
		"not preemptible": func(j *Job) { j.Preemptible = false },
		"minimum runtime": func(j *Job) { j.MinRuntime = 72 * time.Hour },
	} {
		for _, policy := range Policies() {
			s := snapshot(8, "8 0s 0s 48h", "1 30h")
			hold(&s.Jobs[0])
			if p := policy.Plan(&History{}, s); len(p.Steps) != 0 {
				t.Errorf("%s, %s: %s", name, policy.Name, told(p))
			}
		}
	}
}

func TestNextIsWhenAnOrderChangesByItself(t *testing.T) {
	p := Stoker(&History{}, snapshot(8, "8 0s 0s 1m", "8 23h59m30s"))
	if want := now.Add(30 * time.Second); !p.Next.Equal(want) {
		t.Errorf("next %v, want %v when the second has waited for the patience", p.Next, want)
	}
	if p = Stoker(&History{}, snapshot(16, "8 0s 0s 1m", "8 1s")); !p.Next.IsZero() {
		t.Errorf("next %v although nobody waits any more", p.Next)
	}
	if p = las(snapshot(8, "8 0s 0s 1m", "8 1s")); p.Next.Sub(now) != 346250*time.Millisecond {
		t.Errorf("las looks again in %v, want when the first has %d GPU-seconds", p.Next.Sub(now), LASThreshold)
	}
}

// learned is a history of two users: short jobs and long ones.
func learned(n int) *History {
	h := &History{}
	for i := range n {
		for user, ran := range map[string]time.Duration{"short": 5 * time.Minute, "long": 50 * time.Hour} {
			j := Job{User: user, GPUs: 1, Started: now.Add(-ran - time.Duration(i)*time.Second)}
			h.Learn(j, now)
		}
	}
	return h
}

func TestHistoryTellsUsersApart(t *testing.T) {
	h := learned(100)
	s := Snapshot{Now: now, GPUs: 1, Jobs: []Job{
		{ID: "a", User: "long", GPUs: 1, Submitted: now.Add(-time.Minute)}, {ID: "b", User: "short", GPUs: 1, Submitted: now},
	}}
	for _, name := range []string{"stoker", "qssf"} {
		p, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := told(p.Plan(h, s)); got != "admit b pass 1/1" && got != "admit b turn 1/1" {
			t.Errorf("%s: %s, want the short user's first", name, got)
		}
		if got := told(p.Plan(&History{}, s)); got != "admit a turn 1/1" {
			t.Errorf("%s without history: %s, want the first submitted", name, got)
		}
	}
}

// TestHistoryIsPlainData: what is decoded plans as what was encoded, at any time.
func TestHistoryIsPlainData(t *testing.T) {
	h := &History{}
	for i := range 300 {
		j := Job{User: fmt.Sprint(i % 3), Name: fmt.Sprint(i % 7), GPUs: 1 + i%4, Started: now.Add(-time.Duration(i*i) * time.Second)}
		h.Learn(j, now)
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var back History
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if a, b := h.table(&j), back.table(&j); !reflect.DeepEqual(a, b) {
			t.Fatalf("after %d jobs: %v, decoded %v", i+1, a, b)
		}
	}
}

// TestAMachineOfTwoProductsIsTwoNodes: what a job holds there is of its own product, whatever comes first.
func TestAMachineOfTwoProductsIsTwoNodes(t *testing.T) {
	nodes := []Node{{Name: "n", Product: "A", GPUs: 4}, {Name: "n", Product: "B", GPUs: 4}}
	runs := Job{ID: "runs", GPUs: 4, Ranks: 1, Started: now.Add(-time.Hour), On: []string{"n"}}
	for name, c := range map[string]struct {
		change func(*Job)
		want   string // the product that is free
	}{
		"it asks for one": {func(j *Job) { j.Products = []string{"B"} }, "A"},
		"it has one":      {func(j *Job) { j.Product = "B" }, "A"},
		"or the other":    {func(j *Job) { j.Product = "A" }, "B"},
	} {
		j := runs
		c.change(&j)
		for _, product := range []string{"A", "B"} {
			waits := Job{ID: "waits", GPUs: 4, Ranks: 1, Submitted: now, Products: []string{product}}
			p := Stoker(&History{}, Snapshot{Now: now, GPUs: 8, Nodes: nodes, Jobs: []Job{j, waits}})
			admitted := slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Action == Admit && !s.Later })
			if admitted != (product == c.want) {
				t.Errorf("%s: a job that wants %s is let in: %v; free are those of %s", name, product, admitted, c.want)
			}
		}
	}
}

// TestHistoryForgetsTheNarrowestFirst, and all of it in the end.
func TestHistoryForgetsTheNarrowestFirst(t *testing.T) {
	h, short := &History{}, Job{User: "short", GPUs: 1, Started: now.Add(-time.Minute)}
	for i := range 100 {
		h.Learn(Job{User: fmt.Sprint("user", i), GPUs: 1, Started: now.Add(-time.Hour)}, now)
	}
	for range 100 {
		h.Learn(short, now)
	}
	for n := len(h.Classes); h.Forget(); n = len(h.Classes) {
		if len(h.Classes) >= n || len(h.Classes) > 3 && (!h.knows(&short) || h.Classes["all"] == nil) {
			t.Fatalf("of %d classes %d are left, and what is in use is forgotten", n, len(h.Classes))
		}
	}
	if len(h.Classes) > 0 {
		t.Errorf("%d classes are never forgotten", len(h.Classes))
	}
}

// TestHistoryIsBounded: of more users and names than are remembered those of long ago are forgotten, and who comes
// again and again is known.
func TestHistoryIsBounded(t *testing.T) {
	h := &History{}
	steady := Job{User: "steady", Name: "nightly", GPUs: 8, Started: now.Add(-time.Hour)}
	for i := range 3 * MaxClasses {
		h.Learn(Job{User: fmt.Sprint("user", i), Name: strings.Repeat("n", 63), GPUs: 1 + i%4, Started: now.Add(-time.Duration(1+i%1000) * time.Minute)}, now)
		if i%10 == 0 {
			h.Learn(steady, now)
		}
		if len(h.Classes) > MaxClasses || len(h.Recent) > maxRecent+1 {
			t.Fatalf("after %d jobs: %d classes and %d that wait", i, len(h.Classes), len(h.Recent))
		}
	}
	if !h.knows(&steady) || h.Classes["all"] == nil || h.Classes["4"] == nil {
		t.Error("what is in use is forgotten")
	}
	if h.knows(&Job{User: "user0", GPUs: 1}) || h.Classes[kind{"user0", "n", 1}.classes()[2]] != nil {
		t.Error("who was there once, long ago, is remembered")
	}
	if text, err := json.Marshal(h); err != nil || len(text) > 1<<20 {
		t.Errorf("stored it is %d bytes, %v", len(text), err)
	} else {
		t.Logf("%d classes are %d bytes", len(h.Classes), len(text))
	}
}

func TestPlansDoNotDependOnEarlierOnes(t *testing.T) {
	s := snapshot(8, "8 0s 0s 48h", "4 1s", "2 3h", "1 1s 1h")
	for _, policy := range Policies() {
		h := learned(10)
		first := policy.Plan(h, s)
		if again := policy.Plan(h, s); !reflect.DeepEqual(first, again) {
			t.Errorf("%s: %v, then %v", policy.Name, first, again)
		}
	}
}

func TestBinsFollowEachOther(t *testing.T) {
	for i := range bins {
		at := time.Duration(bottom(i) * float64(time.Second))
		if binOf(at) != i || i > 0 && binOf(at-1) != i-1 {
			t.Errorf("bin %d begins at %v, and %v is in %d, the moment before in %d", i, at, at, binOf(at), binOf(at-1))
		}
	}
	if got := binOf(1 << 62); got != bins-1 {
		t.Errorf("146 years are in bin %d", got)
	}
}

// TestIndexOfKnownDistributions: computed by hand.
func TestIndexOfKnownDistributions(t *testing.T) {
	b := (&History{}).belief(kind{})
	b.weight = [bins]float64{}
	short, long := binOf(time.Minute), binOf(10*time.Hour)
	b.weight[short], b.mean[short] = 0.5, 60
	b.weight[long], b.mean[long] = 0.5, 36000
	if got, want := b.index(0), (0.5*60+0.5*bottom(short+1))/0.5; got != want {
		t.Errorf("fresh: %v, want %v: to see whether it is one of the short", got, want)
	}
	if got, want := b.index(short+1), 36000-bottom(short+1); got != want {
		t.Errorf("not one of the short: %v, want %v", got, want)
	}
}

func TestNamedRefuses(t *testing.T) {
	if _, err := Named("best"); err == nil || !strings.Contains(err.Error(), `no such policy: "best"; allowed: stoker, fifo`) {
		t.Errorf("%v", err)
	}
}
