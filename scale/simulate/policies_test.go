package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// requests are n requests at a moment, each of so many seconds.
func requests(at float64, n int, service float64) []Arrival {
	var out []Arrival
	for range n {
		out = append(out, Arrival{At: time.Duration(at * 1e9), Function: "f", Service: time.Duration(service * 1e9)})
	}
	return out
}

// plot is a timeline as text: moments in seconds at which replicas came, became ready or went.
func plot(t *testing.T, f Family, slots int, cold, until float64, groups ...[]Arrival) string {
	t.Helper()
	var b strings.Builder
	last := ""
	w := New(Config{Family: f, Settings: fixed(slots, time.Duration(cold*1e9)), Timeline: func(r Row) {
		now := fmt.Sprintf("%d hot, %d starting", r.Hot, r.Starting)
		if now != last {
			fmt.Fprintf(&b, "%g: %s\n", r.T.Seconds(), now)
		}
		last = now
	}})
	for _, g := range groups {
		for _, a := range g {
			if err := w.Arrive(a); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.advance(time.Duration(until * 1e9))
	return b.String()
}

func TestPolicies(t *testing.T) {
	for _, c := range []struct {
		name   string
		family Family
		groups [][]Arrival
		want   string
	}{
		{"a timer starts what has no slot, and keeps the k-th as long as it was needed", Timer(60 * time.Second),
			[][]Arrival{requests(0, 3, 5), requests(30, 1, 5)}, `
0: 0 hot, 1 starting
0: 0 hot, 2 starting
10: 1 hot, 1 starting
10: 2 hot, 0 starting
75: 1 hot, 0 starting
95: 0 hot, 0 starting
`},
		{"a timer of nothing", Timer(0), [][]Arrival{requests(0, 2, 5), requests(20, 1, 5)}, `
0: 0 hot, 1 starting
10: 1 hot, 0 starting
15: 0 hot, 0 starting
20: 0 hot, 1 starting
30: 1 hot, 0 starting
35: 0 hot, 0 starting
`},
		{"knative: from zero by one, panics, to zero after window and grace", Knative(), [][]Arrival{requests(1, 8, 4)}, `
1: 0 hot, 1 starting
2: 0 hot, 6 starting
11: 1 hot, 5 starting
12: 2 hot, 4 starting
12: 3 hot, 3 starting
12: 4 hot, 2 starting
12: 5 hot, 1 starting
12: 6 hot, 0 starting
74: 3 hot, 0 starting
76: 1 hot, 0 starting
108: 0 hot, 0 starting
`},
		{"keda: polls", KEDA(), [][]Arrival{requests(1, 8, 60)}, `
1: 0 hot, 0 starting
30: 0 hot, 4 starting
40: 1 hot, 3 starting
40: 2 hot, 2 starting
40: 3 hot, 1 starting
40: 4 hot, 0 starting
390: 0 hot, 0 starting
`},
		{"hybrid: four hours while it knows nothing", Hybrid(), [][]Arrival{requests(0, 1, 5)}, `
0: 0 hot, 1 starting
10: 1 hot, 0 starting
14415: 0 hot, 0 starting
`},
		{"hybrid: gone at once, back before the next", Hybrid(), [][]Arrival{
			requests(0, 1, 10), requests(610, 1, 10), requests(1220, 1, 10), requests(1830, 1, 10)}, `
0: 0 hot, 1 starting
10: 1 hot, 0 starting
620: 0 hot, 0 starting
1106: 0 hot, 1 starting
1116: 1 hot, 0 starting
1230: 0 hot, 0 starting
1716: 0 hot, 1 starting
1726: 1 hot, 0 starting
1840: 0 hot, 0 starting
2326: 0 hot, 1 starting
2336: 1 hot, 0 starting
2566: 0 hot, 0 starting
`},
		{"stoker: sized by the queue, auto keep-alive", Stoker(), [][]Arrival{requests(0, 8, 1)}, `
0: 0 hot, 1 starting
0: 0 hot, 2 starting
0: 0 hot, 3 starting
0: 0 hot, 4 starting
10: 1 hot, 3 starting
10: 2 hot, 2 starting
10: 3 hot, 1 starting
10: 4 hot, 0 starting
27: 0 hot, 0 starting
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := plot(t, c.family, 2, 10, 20_000, c.groups...); got != strings.TrimPrefix(c.want, "\n") {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

func TestNamed(t *testing.T) {
	for _, name := range []string{"stoker", "timer-0s", "timer-1200s", "knative", "keda", "hybrid-histogram", "timer-45s", "knative-2m", "keda-10m", "keda-5m-4s", "keda-5m-4s-half", "keda-5m-4s-min1", "keda-5m-30s-half-min1", "hybrid-histogram-1h"} {
		if f, err := Named(name); err != nil || f.New == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "oracle-3s", "timer", "timer-", "timer--5s", "timer-100000h", "knativ", "hybrid-histogram-x", "keda-5s-", "keda--4s", "keda-5m-half", "keda-5m-4s-min2"} {
		if _, err := Named(name); !errors.Is(err, ErrPolicy) {
			t.Errorf("%q: %v, want ErrPolicy", name, err)
		}
	}
}

func TestColdStarts(t *testing.T) {
	c := ColdStart{{0.1, 10 * time.Second}, {0.5, 20 * time.Second}, {0.9, 60 * time.Second}}
	for p, want := range map[float64]time.Duration{0: 10 * time.Second, 0.1: 10 * time.Second, 0.3: 15 * time.Second, 0.7: 40 * time.Second, 1: 60 * time.Second} {
		if got := c.At(p).Round(time.Millisecond); got != want {
			t.Errorf("at %g: %v, want %v", p, got, want)
		}
	}
	sum := time.Duration(0)
	d := newDraws(1, "f")
	const n = 100_000
	for i := range n {
		sum += c.At(d.at(i))
	}
	if mean := sum / n; (mean-c.Mean()).Abs() > c.Mean()/100 || c.Mean() != 29*time.Second {
		t.Errorf("mean of %d draws %v, of the distribution %v, want 29s", n, mean, c.Mean())
	}
}

// TestRhythmIsMet: what comes every half hour, give or take 20 s, is not held for in between, and finds a replica that
// takes a minute to start all the same.
func TestRhythmIsMet(t *testing.T) {
	const days = 7
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a trace
	var arrivals []Arrival
	for i := range days * 48 {
		at := time.Duration(i)*30*time.Minute + time.Duration((random.Float64()*40)*float64(time.Second))
		arrivals = append(arrivals, Arrival{At: at, Function: "f", Service: 5 * time.Second})
	}
	settings := fixed(1, time.Minute)
	_, ours := simulateAll(t, Config{Family: Stoker(), Settings: settings}, arrivals)
	_, held := simulateAll(t, Config{Family: Timer(time.Hour), Settings: settings}, arrivals)
	if ours.Attainment < 0.98 || ours.GPUSeconds > held.GPUSeconds/4 {
		t.Errorf("%.4f in time at %.0f GPU-seconds; holding on takes %.0f for %.4f", ours.Attainment, ours.GPUSeconds, held.GPUSeconds, held.Attainment)
	}
	last := arrivals[len(arrivals)-48:] // of the last day, none is late and none was held for
	w := New(Config{Family: Stoker(), Settings: settings})
	for _, a := range arrivals[:len(arrivals)-len(last)] {
		if err := w.Arrive(a); err != nil {
			t.Fatal(err)
		}
	}
	before := w.SoFar()
	for _, a := range last {
		if err := w.Arrive(a); err != nil {
			t.Fatal(err)
		}
	}
	after := w.SoFar()
	if late := after.Attainment*float64(after.Requests) - before.Attainment*float64(before.Requests); late < 46.5 {
		t.Errorf("%.0f of 48 in time on the last day", late)
	}
	if gpu := after.GPUSeconds - before.GPUSeconds; gpu > 86400/4 {
		t.Errorf("%.0f GPU-seconds on the last day", gpu)
	}
}

// TestBurstFromZeroIsLateNoLongerThanItMust: with starts of 20 s and an objective of 5 s, who comes in the first 15 s of
// a burst is late whatever is done; all but the requests of the next three seconds are in time.
func TestBurstFromZeroIsLateNoLongerThanItMust(t *testing.T) {
	const perSec, cold, limit, grace = 20, 20, 5, 3
	var arrivals []Arrival
	for i := range 60 * perSec {
		arrivals = append(arrivals, Arrival{At: time.Duration(i) * time.Second / perSec, Function: "f", Service: time.Second})
	}
	_, r := simulateAll(t, Config{Family: Stoker(), Settings: fixed(8, cold*time.Second)}, arrivals)
	late := r.Requests - int(math.Round(r.Attainment*float64(r.Requests)))
	if most := perSec * (cold - limit + grace); late > most {
		t.Errorf("%d late, at most %d can be excused", late, most)
	}
	if r.ColdStarts > 2*perSec*cold/8 { // what queues while the first replica starts, on 8 slots each, and once more
		t.Errorf("%d replicas started", r.ColdStarts)
	}
}
