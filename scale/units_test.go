package scale

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		slots          int
		service, slack float64
		pending, busy  int
		want           int
	}{
		{1, 1, 10, 0, 0, 0},
		{1, 1, 10, 1, 0, 1},
		{1, 1, 10, 11, 0, 1},
		{1, 1, 10, 12, 0, 2},
		{4, 1, 10, 100, 0, 3},
		{4, 30, 10, 100, 0, 19},  // slower than the slack: a third of a wave
		{2, 5, 10, 0, 5, 3},      // what runs is held
		{1, 1, 0, 3, 0, 3},       // nothing may wait
		{8, 0, 10, 80_000, 0, 1}, // served in no time
		{0, 1, 10, 5, -7, 1},     // absurd numbers are bounded
		{1, 1, 1, math.MaxInt, 0, MaxReplicas},
	} {
		if got := Size(c.slots, c.pending, c.busy, c.service, c.slack); got != c.want {
			t.Errorf("Size(%+v) = %d", c, got)
		}
	}
}

// An estimate stays within its samples, ignores nonsense, and follows a change.
func TestEstimate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Float64Range(0.001, 1000), 1, 50).Draw(t, "samples")
		var e Estimate
		for _, s := range samples {
			e = e.Learn(s, 1).Learn(math.NaN(), 1).Learn(math.Inf(1), 5).Learn(-3, 1).Learn(7, 0)
		}
		const slack = 1e-9
		if e.Mean < slices.Min(samples)-slack || e.Mean > slices.Max(samples)+slack || e.Samples != uint64(len(samples)) {
			t.Fatalf("%+v from %v", e, samples)
		}
		for range 100 {
			e = e.Learn(5, 1)
		}
		if math.Abs(e.Mean-5) > 0.1 {
			t.Fatalf("%+v after a hundred times 5", e)
		}
	})
	if got := (Estimate{}).Seconds(DefaultColdStart); got != 20 {
		t.Errorf("unknown is %v s", got)
	}
}

// The window's peak is the maximum of what was pushed within ScaleInWindow.
func TestWindowAgainstNaiveMaximum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		now := origin
		var all []Point
		for range rapid.IntRange(1, 60).Draw(t, "pushes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 15).Draw(t, "sec")) * time.Second)
			n := rapid.IntRange(0, 9).Draw(t, "n")
			w.push(n, now)
			all = append(all, Point{n, now})
			want := 0
			for _, p := range all {
				if p.At.Add(ScaleInWindow).After(now) {
					want = max(want, p.N)
				}
			}
			if w.Peak(now) != want {
				t.Fatalf("peak %d, want %d", w.Peak(now), want)
			}
		}
	})
}

func TestWindowIsBounded(t *testing.T) {
	var w Window
	for i := range 1000 {
		w.push(1000-i, origin.Add(time.Duration(i)*time.Millisecond))
	}
	if now := origin.Add(time.Second); len(w.Points) > maxPoints || w.Peak(now) != 1000 {
		t.Fatalf("%d points, peak %d", len(w.Points), w.Peak(now))
	}
}

func TestBackoffDoublesToItsMaximum(t *testing.T) {
	var f Failures
	now := origin
	for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		want := time.Duration(seconds) * time.Second
		f = f.after(Exit{ID: "r", At: now}, now)
		if got := f.Until.Sub(now); got != want {
			t.Fatalf("failure %d waits %v, want %v", f.Count, got, want)
		}
		now = f.Until
	}
}

func TestDecodeStateRefuses(t *testing.T) {
	for _, text := range []string{``, `[]`, `{"version":2}`, `{"version":-1}`, `{"last":{"next":"yesterday"}}`} {
		if _, err := DecodeState([]byte(text)); !errors.Is(err, ErrState) {
			t.Errorf("%q: error %v, want ErrState", text, err)
		}
	}
}

func TestSpecOf(t *testing.T) {
	var f functions.Function
	f.Spec.Scaling = functions.Scaling{Min: 1, Max: 4, Slots: 2, KeepAlive: "auto"}
	f.Spec.Scaling.WaitSLO.P99 = functions.Duration(2 * time.Second)
	f.Spec.Resources.GPUs = 2
	f.Spec.Runtime.Drain.Grace = functions.Duration(30 * time.Second)
	f.Spec.Queue.Depth.Batch = 7
	got := SpecOf(f, "abc")
	if got.Revision != "abc" || got.Min != 1 || got.Max != 4 || got.Slots != 2 || got.Wait != 2*time.Second || got.WaitAt != 0.99 ||
		got.KeepAlive != AutoKeepAlive || got.GPUs != 2 || got.Grace != 30*time.Second || got.Depth[functions.Batch] != 7 {
		t.Fatalf("%+v", got)
	}
	f.Spec.Scaling.KeepAlive = "0s"
	if got := SpecOf(f, "abc").KeepAlive; got != 0 {
		t.Errorf("keepAlive 0s became %v", got)
	}
}

// The parts of a split add up to what was provisioned, whatever the agent's clock did.
func TestSplitAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := func(name string) float64 { return rapid.Float64Range(0, 1000).Draw(t, name) }
		told := Split{Useful: part("useful"), Cold: part("cold"), Idle: part("idle"), Draining: part("draining")}
		held := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "held"))
		gpus := rapid.IntRange(0, 8).Draw(t, "gpus")
		got := Reconcile(told.Scale(float64(gpus)), held, gpus)
		if want := held.Seconds() * float64(gpus); math.Abs(got.Total()-want) > 1e-6*max(1, want) {
			t.Fatalf("%+v totals %v, want %v", got, got.Total(), want)
		}
		if sum := got.Add(told); math.Abs(sum.Total()-got.Total()-told.Total()) > 1e-6*max(1, sum.Total()) || sum.Sub(told).Useful < 0 && got.Useful > 1e-6 {
			t.Fatalf("%+v and %+v do not add up", got, told)
		}
	})
}

// Every reason has a meaning, and the package documentation lists it with that meaning.
func TestReasonsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(doc), "//", " ")), " ")
	for _, r := range Reasons() {
		if line := string(r) + " " + r.Meaning(); !strings.Contains(text, line) {
			t.Errorf("doc.go does not say %q", line)
		}
	}
}

// Every field of the public types has a camelCase JSON name of its own.
func TestJSONNames(t *testing.T) {
	pinned := 1
	for name, v := range map[string]any{
		"Spec": Spec{Pinned: &pinned, Paused: true, Deleting: true, Depth: map[functions.Class]int{functions.Batch: 1}},
		"Decision": Decision{Limit: ReasonNoGPU, Victims: []string{"r"}, Next: origin,
			Inputs: Inputs{Aside: 1, Outdated: 1, Holders: []Holder{{Who: "x", GPUs: 1}}}},
		"Observation": Observation{Exits: []Exit{{}}, Replicas: []Replica{{}}},
		"Lease":       Lease{},
		"Device":      Device{},
		"State":       State{Recent: []Decision{{}}, Window: Window{Points: []Point{{}}}},
	} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(strings.NewReader(string(data)))
		for {
			tok, err := dec.Token()
			if err != nil {
				break
			}
			if s, isText := tok.(string); isText && s != "" && s[0] >= 'A' && s[0] <= 'Z' {
				t.Errorf("%s: %q is not camelCase: %s", name, s, data)
			}
		}
	}
}
