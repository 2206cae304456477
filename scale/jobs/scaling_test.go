package jobs

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// measured is a job whose steps take so many seconds with n ranks: a fixed part and a shared one.
func measured(fixed, shared float64, sizes ...int) *Scaling {
	s := &Scaling{}
	for _, n := range sizes {
		const steps = 1000
		s.Learn(n, steps, time.Duration(steps*(fixed+shared/float64(n))*float64(time.Second)))
	}
	return s
}

func TestSpeedIsToldFromWhatWasMeasured(t *testing.T) {
	for _, c := range []struct {
		name  string
		s     *Scaling
		ranks int
		rate  float64
		basis Basis
	}{
		{"nothing", &Scaling{}, 4, 0, Unknown},
		{"this size", measured(1, 8, 1, 4), 4, 1 / 3.0, Measured},
		{"one other size", measured(1, 8, 4), 8, 2 / 3.0, Linear},
		{"two others", measured(1, 8, 1, 4), 8, 1 / 2.0, Fitted},
		{"more ranks were slower", &Scaling{Speeds: []Speed{{1, 100, 100}, {4, 50, 100}}}, 8, 1 / 1.5, Fitted},
		{"faster than shared evenly", &Scaling{Speeds: []Speed{{1, 100, 100}, {2, 400, 100}}}, 1000, 1000 / 0.9, Fitted},
	} {
		if rate, basis := c.s.Rate(c.ranks); math.Abs(rate-c.rate) > 1e-6*c.rate || basis != c.basis {
			t.Errorf("%s: %v steps/s, %s; want %v, %s", c.name, rate, basis, c.rate, c.basis)
		}
	}
}

func TestShortMeasurementsSayNothing(t *testing.T) {
	var s Scaling
	s.Learn(1, 1000, LeastMeasured-1)
	s.Learn(0, 1000, time.Hour)
	s.Learn(1, math.NaN(), time.Hour)
	s.Learn(1, math.Inf(1), time.Hour)
	if len(s.Speeds) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestSizesAreChosenByTheGoal(t *testing.T) {
	sizes := []int{1, 2, 4, 8}
	free := Wish{Sizes: sizes, Left: 1000, Afford: -1}
	within := func(d time.Duration, change func(*Wish)) Wish {
		w := free
		w.By = now.Add(d)
		if change != nil {
			change(&w)
		}
		return w
	}
	s := measured(1, 8, 1, 4) // a step takes 9, 5, 3 and 2 seconds
	for _, c := range []struct {
		name string
		s    *Scaling
		wish Wish
		want Choice
	}{
		{"nothing measured", &Scaling{}, within(time.Hour, nil), Choice{1, ChoiceUnmeasured, Unknown, time.Time{}}},
		{"nothing measured, it runs", &Scaling{}, within(time.Hour, func(w *Wish) { w.Now = 4 }), Choice{4, ChoiceUnmeasured, Unknown, time.Time{}}},
		{"what is left is not known", s, within(time.Hour, func(w *Wish) { w.Left = 0 }), Choice{1, ChoiceUnmeasured, Unknown, time.Time{}}},
		{"a size it may not have any more", &Scaling{}, within(time.Hour, func(w *Wish) { w.Now = 3 }), Choice{1, ChoiceUnmeasured, Unknown, time.Time{}}},
		{"the smallest that is in time", s, within(time.Hour, nil), Choice{4, ChoiceGoal, Measured, now.Add(3000 * time.Second)}},
		{"with a margin", s, within(3100*time.Second, nil), Choice{8, ChoiceGoal, Fitted, now.Add(2000 * time.Second)}},
		{"what it has is in time", s, within(3100*time.Second, func(w *Wish) { w.Now, w.Restart = 4, time.Minute }), Choice{4, ChoiceKept, Measured, now.Add(3000 * time.Second)}},
		{"a smaller one is worth a restart", s, within(4*time.Hour, func(w *Wish) { w.Now, w.Restart = 4, time.Minute }), Choice{1, ChoiceGoal, Measured, now.Add(9060 * time.Second)}},
		{"none is in time", s, within(time.Minute, nil), Choice{8, ChoiceLate, Fitted, now.Add(2000 * time.Second)}},
		{"none is in time for the money", s, within(2500*time.Second, func(w *Wish) { w.Afford = 12_000 }), Choice{4, ChoiceCost, Measured, now.Add(3000 * time.Second)}},
		{"none is done for the money", s, within(time.Hour, func(w *Wish) { w.Afford = 100 }), Choice{1, ChoiceTooDear, Measured, now.Add(9000 * time.Second)}},
		{"the smallest that is fast enough", s, Wish{Sizes: sizes, Pace: 0.3, Afford: -1}, Choice{4, ChoiceGoal, Measured, time.Time{}}},
		{"fast enough and in time", s, within(4*time.Hour, func(w *Wish) { w.Pace = 0.3 }), Choice{4, ChoiceGoal, Measured, now.Add(3000 * time.Second)}},
		{"fast enough is not in time", s, within(3100*time.Second, func(w *Wish) { w.Pace = 0.3 }), Choice{8, ChoiceGoal, Fitted, now.Add(2000 * time.Second)}},
		{"what it has is just fast enough", s, Wish{Sizes: sizes, Pace: 0.33, Now: 4, Afford: -1}, Choice{4, ChoiceKept, Measured, time.Time{}}},
		{"none is fast enough", s, Wish{Sizes: sizes, Pace: 2, Afford: -1}, Choice{8, ChoiceLate, Fitted, time.Time{}}},
		{"it is tried before it is believed", measured(1, 8, 1), within(1300*time.Second, nil), Choice{8, ChoiceGoal, Linear, now.Add(1125 * time.Second)}},
	} {
		got := c.s.Choose(c.wish, now)
		if got.Ranks != c.want.Ranks || got.Reason != c.want.Reason || got.Basis != c.want.Basis || got.Done.Sub(c.want.Done).Abs() > time.Second {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestAnEarlierGoalNeverGetsFewerRanks, nor does more money.
func TestAnEarlierGoalNeverGetsFewerRanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := measured(rapid.Float64Range(0, 5).Draw(t, "fixed"), rapid.Float64Range(0.1, 20).Draw(t, "shared"), rapid.SampledFrom([][]int{{1}, {1, 4}, {2, 4, 8}}).Draw(t, "measured")...)
		w := Wish{Sizes: []int{1, 2, 3, 4, 8, 16}, Left: rapid.Float64Range(1, 1e5).Draw(t, "left"), Afford: -1}
		d := time.Duration(rapid.IntRange(1, 1e6).Draw(t, "within")) * time.Second
		w.By = now.Add(d)
		late := s.Choose(w, now)
		w.By = now.Add(d / 2)
		early := s.Choose(w, now)
		if early.Ranks < late.Ranks {
			t.Fatalf("in half the time %+v, before %+v", early, late)
		}
		w.Afford = rapid.Float64Range(1, 1e6).Draw(t, "afford")
		if capped := s.Choose(w, now); capped.Ranks > early.Ranks {
			t.Fatalf("with less money %+v, before %+v", capped, early)
		}
	})
}

// TestMoreToDoNeverGetsFewerRanks: training scales with its data, while there is time and money.
func TestMoreToDoNeverGetsFewerRanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := measured(rapid.Float64Range(0, 5).Draw(t, "fixed"), rapid.Float64Range(0.1, 20).Draw(t, "shared"), rapid.SampledFrom([][]int{{1}, {1, 4}, {2, 4, 8}}).Draw(t, "measured")...)
		w := Wish{Sizes: []int{1, 2, 3, 4, 8, 16}, Left: rapid.Float64Range(1, 1e5).Draw(t, "left"), Afford: -1, By: now.Add(time.Duration(rapid.IntRange(1, 1e6).Draw(t, "within")) * time.Second)}
		less := s.Choose(w, now)
		w.Left *= rapid.Float64Range(1, 10).Draw(t, "more")
		if more := s.Choose(w, now); more.Ranks < less.Ranks {
			t.Fatalf("with more to do %+v, before %+v", more, less)
		}
	})
}

// TestTheCostIsNeverExceededForTheGoal: what is chosen is expected to stay within it, or nothing would.
func TestTheCostIsNeverExceededForTheGoal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := measured(rapid.Float64Range(0, 5).Draw(t, "fixed"), rapid.Float64Range(0.1, 20).Draw(t, "shared"), 1, 4)
		w := Wish{
			Sizes: []int{1, 2, 4, 8}, Now: rapid.SampledFrom([]int{0, 1, 4}).Draw(t, "now"), Left: rapid.Float64Range(1, 1e5).Draw(t, "left"),
			Afford: rapid.Float64Range(1, 1e6).Draw(t, "afford"), Restart: time.Minute, By: now.Add(time.Hour),
		}
		c := s.Choose(w, now)
		if cost := c.Done.Sub(now).Seconds() * float64(c.Ranks); c.Reason != ChoiceTooDear && cost > w.Afford*1.000001 {
			t.Fatalf("%+v takes %v rank-seconds", c, cost)
		}
	})
}

func TestEveryChoiceIsExplained(t *testing.T) {
	for _, r := range ChoiceReasons() {
		if r.Meaning() == "" {
			t.Errorf("%q has no meaning", r)
		}
	}
	if len(ChoiceReasons()) != 6 || ChoiceReason("x").Meaning() != "" {
		t.Errorf("%v", ChoiceReasons())
	}
}
