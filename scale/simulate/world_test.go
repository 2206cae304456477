package simulate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/scale"
)

// world settings of most tests: two slots, 10 s cold, 5 s objective.
func fixed(slots int, cold time.Duration) func(string) Settings {
	return func(string) Settings {
		return Settings{
			Spec:      scale.Spec{Max: 50, Slots: slots, Wait: 5 * time.Second, WaitAt: 0.99, KeepAlive: scale.AutoKeepAlive, GPUs: 1},
			ColdStart: ColdStart{{P: 0.5, At: cold}},
		}
	}
}

// every policy that needs no hindsight.
func every() []Family { return append(Baselines(), Stoker()) }

// drawArrivals draws a short trace of a few functions, with bursts and pauses.
func drawArrivals(t *rapid.T) []Arrival {
	n := rapid.IntRange(1, 120).Draw(t, "requests")
	var out []Arrival
	at := time.Duration(0)
	for range n {
		gap := rapid.SampledFrom([]int{0, 1, 50, 1000, 20_000, 400_000}).Draw(t, "gap")
		at += time.Duration(gap) * time.Millisecond
		out = append(out, Arrival{
			At: at, Function: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "function"),
			Service: time.Duration(rapid.IntRange(0, 30_000).Draw(t, "service")) * time.Millisecond,
		})
	}
	return out
}

func simulateAll(t testing.TB, c Config, arrivals []Arrival) (*World, Result) {
	t.Helper()
	w := New(c)
	for _, a := range arrivals {
		if err := w.Arrive(a); err != nil {
			t.Fatal(err)
		}
	}
	return w, w.Result()
}

// TestBooksBalance: the parts add up to what was provisioned, every request is served once,
// no replica takes more than its slots, and the pool's bound holds.
func TestBooksBalance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		arrivals := drawArrivals(rt)
		f := rapid.SampledFrom(every()).Draw(rt, "policy")
		pool := rapid.SampledFrom([]int{0, 3, 10}).Draw(rt, "pool")
		slots := rapid.IntRange(1, 4).Draw(rt, "slots")
		held, most := 0.0, 0
		last := map[string]Row{}
		var now time.Duration
		c := Config{Family: f, Settings: fixed(slots, 7*time.Second), Seed: 1, Pool: pool, Timeline: func(r Row) {
			sum := 0
			for _, x := range last {
				sum += x.Hot + x.Starting
			}
			held += float64(sum) * (r.T - now).Seconds()
			now, last[r.Function] = r.T, r
			sum = 0
			for _, x := range last {
				sum += x.Hot + x.Starting
			}
			most = max(most, sum)
		}}
		_, r := simulateAll(t, c, arrivals)
		switch {
		case math.Abs(r.Useful+r.Cold+r.Idle-r.GPUSeconds) > 1e-6:
			rt.Fatalf("%s: %g + %g + %g is not %g", f.Name, r.Useful, r.Cold, r.Idle, r.GPUSeconds)
		case math.Abs(held-r.GPUSeconds) > 1e-6*max(1, held):
			rt.Fatalf("%s: the timeline holds %g GPU-seconds, the books %g", f.Name, held, r.GPUSeconds)
		case r.Requests != len(arrivals) || r.Unserved != 0:
			rt.Fatalf("%s: %d of %d requests, %d unserved", f.Name, r.Requests, len(arrivals), r.Unserved)
		case pool > 0 && most > pool:
			rt.Fatalf("%s: %d replicas on %d GPUs", f.Name, most, pool)
		case r.Useful < 0 || r.Cold < 0 || r.Idle < -1e-6:
			rt.Fatalf("%s: negative parts: %+v", f.Name, r)
		}
		work := 0.0
		for _, a := range arrivals {
			work += a.Service.Seconds()
		}
		if r.Useful*float64(slots) < work-1e-6 || r.Useful > work+1e-6 {
			rt.Fatalf("%s: %g useful replica-seconds of %d slots for %g seconds of work", f.Name, r.Useful, slots, work)
		}
	})
}

// TestSameInSameOut: nothing but arguments decides.
func TestSameInSameOut(t *testing.T) {
	arrivals := flash(20_000, 7)
	for _, f := range every() {
		c := Config{Family: f, Seed: 3, Settings: func(string) Settings {
			s := fixed(4, 0)("")
			s.ColdStart = ColdStart{{0.1, 2 * time.Second}, {0.9, 40 * time.Second}}
			return s
		}}
		_, one := simulateAll(t, c, arrivals)
		_, two := simulateAll(t, c, arrivals)
		if one != two {
			t.Errorf("%s: %+v and then %+v", f.Name, one, two)
		}
		c.Seed = 4
		if _, three := simulateAll(t, c, arrivals); three.Cold == one.Cold {
			t.Errorf("%s: the seed changes no cold start", f.Name)
		}
	}
}

func TestArrivalsComeInOrder(t *testing.T) {
	w := New(Config{Family: Timer(0), Settings: fixed(1, time.Second)})
	if err := w.Arrive(Arrival{At: 2 * time.Second, Function: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Arrive(Arrival{At: time.Second, Function: "a"}); !errors.Is(err, ErrOrder) {
		t.Errorf("an arrival before the last one: %v, want ErrOrder", err)
	}
}

// TestNothingStartedEnds: a policy that starts nothing ends with its patience, and what waits
// is told.
func TestNothingStartedEnds(t *testing.T) {
	f := Family{Name: "none", Push: true, New: func(string, Settings) Policy { return restless{} }}
	_, r := simulateAll(t, Config{Family: f, Settings: fixed(1, time.Second), Patience: time.Minute}, []Arrival{{Function: "a", Service: time.Second}})
	if r.Unserved != 1 || r.Attainment != 0 || r.GPUSeconds != 0 {
		t.Errorf("%+v, want one request unserved at no cost", r)
	}
}

// restless wants to look again at once, forever.
type restless struct{}

func (restless) Decide(v *View) Order { return Order{Next: v.Now} }

// TestTimelineTellsEverything computes every figure of a result from the trace and the
// timeline alone.
func TestTimelineTellsEverything(t *testing.T) {
	arrivals := flash(5_000, 11)
	for _, f := range every() {
		var rows []Row
		settings := fixed(4, 9*time.Second)
		_, want := simulateAll(t, Config{Family: f, Settings: settings, Price: 2, Timeline: func(r Row) { rows = append(rows, r) }}, arrivals)
		got := recompute(arrivals, rows, settings("").Wait)
		got.Policy, got.Functions, got.CostUSD = f.Name, want.Functions, got.GPUSeconds/3600*2
		close := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(a)) }
		ok := close(got.GPUSeconds, want.GPUSeconds) && close(got.Useful, want.Useful) && close(got.Cold, want.Cold) &&
			close(got.Idle, want.Idle) && close(got.CostUSD, want.CostUSD) && close(got.Attainment, want.Attainment) &&
			close(got.ColdRate, want.ColdRate) && close(got.ColdP75, want.ColdP75) && close(got.Decisions, want.Decisions)
		for _, q := range [][2]float64{{got.Wait.P50, want.Wait.P50}, {got.Wait.P95, want.Wait.P95}, {got.Wait.P99, want.Wait.P99}} {
			ok = ok && math.Abs(q[0]-q[1]) <= 0.001*q[0]+0.1
		}
		if !ok {
			t.Errorf("%s: from the timeline\n%+v\nwant\n%+v", f.Name, got, want)
		}
	}
}

// recompute is what anyone can do with a trace and a timeline.
func recompute(arrivals []Arrival, rows []Row, limit time.Duration) Result {
	var r Result
	begin, end := arrivals[0].At, rows[len(rows)-1].T
	byFunction := map[string][]Row{}
	for _, x := range rows {
		byFunction[x.Function] = append(byFunction[x.Function], x)
	}
	var waits []float64
	var rates []float64
	for name, rows := range byFunction {
		var mine []time.Duration
		for _, a := range arrivals {
			if a.Function == name {
				mine = append(mine, a.At)
			}
		}
		var before Row
		cold := 0
		for i, x := range rows {
			until := end
			if i+1 < len(rows) {
				until = rows[i+1].T
			}
			sec := (until - x.T).Seconds()
			r.GPUSeconds += float64(x.Hot+x.Starting) * sec
			r.Cold += float64(x.Starting) * sec
			r.Useful += float64(x.Busy) * sec
			r.Idle += float64(x.Hot-x.Busy) * sec
			if x.Hot+x.Starting-x.Draining != before.Hot+before.Starting-before.Draining {
				r.Decisions++
			}
			before = x
		}
		waits = append(waits, waitsOf(mine, rows)...)
		for _, at := range mine { // the last row before it
			i, _ := slices.BinarySearchFunc(rows, at, func(r Row, at time.Duration) int { return int(r.T - at) })
			if i == 0 || rows[i-1].Hot == rows[i-1].Draining {
				cold++
			}
		}
		r.ColdRate += float64(cold)
		rates = append(rates, float64(cold)/float64(len(mine)))
	}
	for _, w := range waits {
		if w <= float64(limit/time.Millisecond) {
			r.Attainment++
		}
	}
	n := float64(len(arrivals))
	r.Requests, r.ColdRate, r.Attainment, r.ColdP75 = len(arrivals), r.ColdRate/n, r.Attainment/n, percentile(rates, 0.75)
	r.Decisions /= (end - begin).Hours()
	slices.Sort(waits)
	rank := func(p float64) float64 { return waits[int(math.Ceil(p*n))-1] }
	r.Wait = Waits{rank(0.50), rank(0.95), rank(0.99)}
	return r
}

// waitsOf are the waits of a function's requests, milliseconds. The k-th is taken when k have
// arrived that are not queued: at its arrival, or at a later row.
func waitsOf(arrivals []time.Duration, rows []Row) []float64 {
	var out []float64
	arrivedBy := func(t time.Duration) int { n, _ := slices.BinarySearch(arrivals, t+1); return n }
	row := 0
	for k, at := range arrivals {
		for row+1 < len(rows) && rows[row+1].T <= at {
			row++
		}
		taken := at
		if arrivedBy(at)-rows[row].Queued <= k {
			for j := row + 1; ; j++ {
				if arrivedBy(rows[j].T)-rows[j].Queued > k {
					taken = rows[j].T
					break
				}
			}
		}
		out = append(out, float64(taken-at)/1e6)
	}
	return out
}

// TestBeatChangesLittle compares stoker's beat, in which what happens within a second is
// looked at together, with looking at every single event. A beat misses the highest of what
// runs within its second, so on a trace as wild as this one it holds fewer replicas; on
// recorded traces the two are within 4 % (cmd/stoker/simulate has that test).
func TestBeatChangesLittle(t *testing.T) {
	arrivals := flash(60_000, 5)
	settings := fixed(8, 20*time.Second)
	_, beat := simulateAll(t, Config{Family: Stoker(), Settings: settings}, arrivals)
	each := Stoker()
	each.Beat = 0
	_, every := simulateAll(t, Config{Family: each, Settings: settings}, arrivals)
	if d := math.Abs(beat.GPUSeconds/every.GPUSeconds - 1); d > 0.15 {
		t.Errorf("GPU-seconds: %g by the beat, %g at every event: %.1f %% apart", beat.GPUSeconds, every.GPUSeconds, d*100)
	}
	if d := math.Abs(beat.Attainment - every.Attainment); d > 0.01 {
		t.Errorf("attainment: %g by the beat, %g at every event", beat.Attainment, every.Attainment)
	}
	t.Logf("by the beat %.0f GPU-s, %.4f in time; at every event %.0f, %.4f", beat.GPUSeconds, beat.Attainment, every.GPUSeconds, every.Attainment)
}

// flash draws a trace in the shape of the flash trace: tenants that are silent for hours,
// then ask up to 90 times a second for minutes.
func flash(n int, seed uint64) []Arrival {
	d := draws{seed}
	var out []Arrival
	at, k := time.Duration(0), 0
	unit := func() float64 { k++; return d.at(k) }
	for len(out) < n {
		function := fmt.Sprintf("tenant-%02d", int(unit()*20))
		rate := 1 + 90*unit()*unit()
		for end := at + time.Duration(unit()*600*float64(time.Second)); at < end && len(out) < n; {
			out = append(out, Arrival{At: at, Function: function, Service: time.Duration(-2 * math.Log(1-unit()) * float64(time.Second))})
			at += time.Duration(-math.Log(1-unit()) / rate * float64(time.Second))
		}
		at += time.Duration(-math.Log(1-unit()) * 1800 * float64(time.Second))
	}
	return out
}

func BenchmarkFlash(b *testing.B) {
	arrivals := flash(450_000, 1)
	for _, f := range []Family{Stoker(), Timer(time.Minute), Knative(), KEDA(), Hybrid()} {
		b.Run(f.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				simulateAll(b, Config{Family: f, Settings: fixed(8, 20*time.Second)}, arrivals)
			}
			b.ReportMetric(float64(len(arrivals))*float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
