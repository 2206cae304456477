package plan

import (
	"math"
	"testing"
)

func TestChoose(t *testing.T) {
	poor, good, better, same := Outcome{10, 50}, Outcome{30, 1}, Outcome{20, 0.5}, Outcome{19.5, 0}
	for name, x := range map[string]struct {
		in   []Outcome
		want int
	}{
		"the cheapest that meets":                  {[]Outcome{poor, good, better}, 2},
		"one that meets before cheaper ones":       {[]Outcome{good, poor}, 0},
		"none meets: the fewest late":              {[]Outcome{poor, {40, 3}, {5, 60}}, 1},
		"a less simple one that saves 2.5 percent": {[]Outcome{better, same}, 0},
	} {
		if got := Choose(x.in); got != x.want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func TestCostOf(t *testing.T) {
	c := CostOf(7200, 3600, 2.5, 100, 1e6)
	if c.PerHour != 5 || math.Abs(c.PerMonth-3652.5) > 1e-9 || c.PerRequest != 0.05 || c.PerMillionToken != 5 {
		t.Errorf("%+v", c)
	}
	if CostOf(1, 0, 1, 0, 0) != (Cost{}) {
		t.Error("divided by nothing")
	}
}

func TestWorst(t *testing.T) {
	late := map[string]int{"a": 5, "b": 50, "c": 20, "d": 0}
	for allowed, want := range map[float64]int{0: 3, 10: 2, 60: 1, 200: 0} {
		got := Worst(late, allowed)
		if len(got) != want || want > 0 && !got["b"] || got["d"] {
			t.Errorf("%g allowed: %v, want %d", allowed, got, want)
		}
	}
}
