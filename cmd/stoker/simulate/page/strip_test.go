package page

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	policies "stoker.dev/stoker/scale/simulate"
)

// TestStripKeepsTheIntegral: however long the time, the area under the strip is that of what
// was added, the most is the most, and the intervals are bounded.
func TestStripKeepsTheIntegral(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := newStrip()
		area, most, at := 0.0, 0.0, time.Duration(0)
		for range 2000 {
			v, d := float64(rnd.IntN(50)), time.Duration(rnd.Int64N(int64(100*time.Second)))
			s.hold(v, at, at+d)
			area, most, at = area+v*d.Seconds(), max(most, v), at+d
		}
		gotArea, gotMost := 0.0, 0.0
		for i, mean := range s.means() {
			gotArea, gotMost = gotArea+mean*s.width.Seconds(), max(gotMost, s.most[i])
		}
		if math.Abs(gotArea/area-1) > 1e-9 || gotMost != most {
			t.Fatalf("seed %d: area %g, most %g; want %g, %g", seed, gotArea, gotMost, area, most)
		}
		if n := len(s.area); n > maxBins || n < maxBins/4 || time.Duration(n)*s.width < at {
			t.Fatalf("seed %d: %d intervals of %v for %v", seed, n, s.width, at)
		}
	}
}

// TestStripAddsBehind: what overlaps and comes late lands where it belongs.
func TestStripAddsBehind(t *testing.T) {
	s := newStrip()
	s.add(1, 0, 10*time.Second)
	s.add(2, 2500*time.Millisecond, 4*time.Second)
	got := s.means()
	for i, want := range []float64{1, 1, 2, 3, 1, 1, 1, 1, 1, 1} {
		if math.Abs(got[i]-want) > 1e-9 {
			t.Errorf("second %d: %g, want %g", i, got[i], want)
		}
	}
}

// TestRecorder: functions add up, weighed by their GPUs, and a peak between two moments is
// not lost.
func TestRecorder(t *testing.T) {
	r := NewRecorder(func(f string) (s policies.Settings) {
		s.Slots, s.GPUs = 4, map[string]int{"a": 1, "b": 2}[f]
		return s
	})
	r.Arrive(policies.Arrival{At: 10 * time.Second, Function: "b", Service: 2 * time.Second})
	row := r.Of("p")
	row(policies.Row{T: 10 * time.Second, Function: "a", Starting: 1, Queued: 3})
	row(policies.Row{T: 10 * time.Second, Function: "a", Hot: 1, Busy: 1, Queued: 1})
	row(policies.Row{T: 12 * time.Second, Function: "b", Hot: 3, Busy: 1})
	row(policies.Row{T: 14 * time.Second, Function: "b"})
	if width := r.align(); width != time.Second {
		t.Errorf("width %v", width)
	}
	l := r.lines["p"]
	if held, busy := l.held.means(), l.busy.means(); held[0] != 1 || held[2] != 7 || busy[2] != 3 || l.queued.most[0] != 3 || l.held.most[4] != 1 {
		t.Errorf("held %v, busy %v, queued %v", held, busy, l.queued.most)
	}
	if d := r.demand.means(); len(d) != 2 || d[0] != 0.5 || d[1] != 0.5 {
		t.Errorf("demand %v", d)
	}
}
