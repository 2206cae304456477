package plan

import (
	"math"
	"testing"
	"time"
)

func TestChoose(t *testing.T) {
	a, b, c := Outcome{Candidate{0, time.Second}, 10, 0.5}, Outcome{Candidate{1, time.Second}, 30, 0.99}, Outcome{Candidate{2, time.Second}, 20, 0.995}
	for _, x := range []struct {
		in    []Outcome
		share float64
		want  Outcome
	}{{[]Outcome{a, b, c}, 0.99, c}, {[]Outcome{b, c, a}, 0.4, a}, {[]Outcome{a, b}, 0.999, b}, {[]Outcome{c, b, a}, 1, c}} {
		if got, ok := Choose(x.in, x.share); !ok || got != x.want {
			t.Errorf("%+v at %g: %+v", x.in, x.share, got)
		}
	}
	if _, ok := Choose(nil, 0.9); ok {
		t.Error("chose from nothing")
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
