package scale

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func spansOf(secs ...float64) (g Spans) {
	for _, sec := range secs {
		g = g.Add(time.Duration(sec * float64(time.Second)))
	}
	return g
}

// A replica is held through gaps that end soon, let go where they last, and the longer the
// dearer a miss is.
func TestHoldFor(t *testing.T) {
	minute := spansOf(60, 60, 60, 60, 60, 60, 60, 60, 60, 60)
	for _, c := range []struct {
		name     string
		own      Spans
		pool     Spans
		miss     float64
		from, to float64
	}{
		{"nothing known", Spans{}, Spans{}, 1000, 0, 0},
		{"a miss is cheaper than the gap", minute, Spans{}, 20, 0, 0},
		{"a miss is dearer than the gap", minute, Spans{}, 200, 63, 80},
		{"the pool's gaps stand in", Spans{}, minute, 200, 63, 80},
		{"own gaps count more than the pool's", spansOf(5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5), spansOf(5000), 200, 5, 7},
		{"short and long ones", spansOf(5, 5, 5, 5, 5, 5, 5, 5, 5, 50_000), Spans{}, 100, 5, 7},
	} {
		if got := holdFor(&c.own, &c.pool, c.miss, quiet{}); got < c.from || got > c.to {
			t.Errorf("%s: held for %v s, want %v to %v", c.name, got, c.from, c.to)
		}
	}
}

// Whatever was seen, a dearer miss never makes it let go earlier, and no other time to let
// go costs less.
func TestHoldForIsBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gaps := rapid.SliceOfN(rapid.Float64Range(0.1, 200_000), 0, 40).Draw(t, "gaps")
		miss := rapid.Float64Range(1, 100_000).Draw(t, "miss")
		own := spansOf(gaps...)
		held := holdFor(&own, &Spans{}, miss, quiet{})
		if more := holdFor(&own, &Spans{}, 2*miss, quiet{}); more < held {
			t.Fatalf("held for %v s at a miss of %v, for %v s at twice that", held, miss, more)
		}
		best := math.Inf(1)
		for _, until := range edges {
			best = min(best, holdCost(&own, until, miss))
		}
		if got := holdCost(&own, held, miss); got > best*(1+1e-9)+1e-9 {
			t.Fatalf("holding for %v s costs %v, the best time %v", held, got, best)
		}
	})
}

// holdCost is what letting go after a time costs, the plain way.
func holdCost(g *Spans, until, miss float64) float64 {
	cost := float64(g.over+neverWeight) * until
	for i, n := range g.bins {
		switch middle := (edges[i] + edges[i+1]) / 2; {
		case edges[i] < until:
			cost += float64(n) * middle
		default:
			cost += float64(n) * (until + miss)
		}
	}
	return cost
}

// The price rises with the share of the error budget that is used, and a day's may be used
// at once.
func TestPrice(t *testing.T) {
	day := origin.Add(48 * time.Hour)
	h := func(missed float64) *Habits { return &Habits{Allowed: 100, Missed: missed, Since: origin} }
	if got := h(30).price(day); got != minPrice {
		t.Errorf("price %v with most of the budget left", got)
	}
	if got := h(75).price(day); math.Abs(got-maxPrice) > 1e-6 {
		t.Errorf("price %v with the budget used up", got)
	}
	if mid, more := h(40).price(day), h(60).price(day); mid <= minPrice || more <= mid || more >= maxPrice {
		t.Errorf("prices %v and %v between", mid, more)
	}
	if got := h(500).price(origin.Add(time.Hour)); got != minPrice {
		t.Errorf("price %v in the first hour, with a day's budget left", got)
	}
	if got := (&Habits{}).price(day); got != minPrice {
		t.Errorf("price %v of nothing", got)
	}
	many := Habits{Allowed: 100, Missed: 500, Blamed: 500, Since: origin}
	if got := many.price(origin.Add(time.Hour)); math.Abs(got-earlyPrice) > 1e-6 {
		t.Errorf("price %v in the first hour, with many late starts", got)
	}
	few := Habits{Allowed: 100, Missed: 500, Blamed: 20, Since: origin}
	if got := few.price(origin.Add(time.Hour)); got != minPrice {
		t.Errorf("price %v in the first hour, with one late burst", got)
	}
}

// A pool is the sum of its functions, and one that has seen nothing changes nothing.
func TestPoolOf(t *testing.T) {
	a, b := Habits{Allowed: 1, Missed: 2, Blamed: 1, Since: origin.Add(time.Hour)}, Habits{Allowed: 10, Missed: 3, Since: origin}
	a.Gaps[0], b.Gaps[0] = spansOf(5, 5), spansOf(5, 60)
	a.Late[1], b.Late[1] = Estimate{Samples: 1, Mean: 9}, Estimate{Samples: 2, Mean: 3}
	a.Starts.Ready, b.Starts.Off = spansOf(20), spansOf(3)
	got := PoolOf([]*Habits{&a, {}, &b})
	want := &Habits{Allowed: 11, Missed: 5, Blamed: 1, Since: origin, Starts: Starts{Ready: spansOf(20), Off: spansOf(3)}}
	want.Gaps[0], want.Late[1] = spansOf(5, 5, 5, 60), Estimate{Samples: 3, Mean: 5}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// A start that was called off says only that it lasted that long: races do not make starts
// look quick.
func TestSlowStarts(t *testing.T) {
	s := Starts{Ready: spansOf(4, 4, 40, 40)}
	if got := s.slow(10, &Starts{}); math.Abs(got-0.5) > 0.01 {
		t.Errorf("%v of half of all", got)
	}
	for range 4 { // races of two: one in four is lost by both
		s.Off = s.Off.Add(4 * time.Second)
	}
	if got := s.slow(10, &Starts{}); got < 0.4 || got > 0.7 {
		t.Errorf("%v with those called off", got)
	}
	if got := (&Starts{}).slow(10, &Starts{Ready: spansOf(4, 40)}); math.Abs(got-0.5) > 0.01 {
		t.Errorf("%v by the pool alone", got)
	}
	if got := (&Starts{}).slow(10, &Starts{}); got != 1 {
		t.Errorf("%v of nothing", got)
	}
}

// Spans survive JSON as they are, fade, and take nonsense for nothing.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := spansOf(rapid.SliceOfN(rapid.Float64Range(0, 1e6), 0, 500).Draw(t, "secs")...)
		if sum := g.sum(); sum > spanMemory+1 {
			t.Fatalf("%v count", sum)
		}
		data, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		var back Spans
		if err := json.Unmarshal(data, &back); err != nil || back != g {
			t.Fatalf("%v: %s gives %v, want %v", err, data, back, g)
		}
	})
	var g Spans
	if err := json.Unmarshal([]byte(`[-1, 1e30, 2]`), &g); err != nil || g != spansOf(1.3, 1.3) {
		t.Errorf("%v: %+v", err, g)
	}
}
