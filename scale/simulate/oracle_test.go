package simulate

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/scale"
)

// small is an instance that can be tried out whole; times are seconds.
type small struct {
	at, service       []int
	wait, cold, slots int
	late              int // requests that may be
}

func drawSmall(t *rapid.T) small {
	s := small{
		wait: rapid.IntRange(0, 3).Draw(t, "wait"), cold: rapid.IntRange(0, 6).Draw(t, "cold"),
		slots: rapid.IntRange(1, 3).Draw(t, "slots"), late: rapid.IntRange(0, 1).Draw(t, "late"),
	}
	at := 0
	for range rapid.IntRange(1, 4).Draw(t, "requests") {
		at += rapid.IntRange(0, 8).Draw(t, "gap")
		s.at, s.service = append(s.at, at), append(s.service, rapid.IntRange(1, 4).Draw(t, "service"))
	}
	return s
}

func (s small) settings(string) Settings {
	return Settings{
		Spec: scale.Spec{
			Slots: s.slots, Max: 100, GPUs: 1, Wait: time.Duration(s.wait) * time.Second,
			WaitAt: 1 - float64(s.late)/float64(len(s.at)),
		},
		ColdStart: ColdStart{{P: 0.5, At: time.Duration(s.cold) * time.Second}},
	}
}

// best tries every start of every request, and gives what the cheapest costs.
func (s small) best(starts []int, late int) float64 {
	i := len(starts)
	if i == len(s.at) {
		return s.cost(starts)
	}
	best := math.Inf(1)
	last := s.wait
	if late > 0 {
		last += 12 // late ones go anywhere that helps
	}
	for d := 0; d <= last; d++ {
		left := late
		if d > s.wait {
			left--
		}
		best = min(best, s.best(append(starts[:i:i], s.at[i]+d), left))
	}
	return best
}

// cost is that of the replicas that the starts need, each kept over a gap or started again.
func (s small) cost(starts []int) float64 {
	const horizon = 80
	var running [horizon]int
	for i, at := range starts {
		for t := at; t < at+s.service[i]; t++ {
			running[t]++
		}
	}
	sum := 0
	for level := range starts {
		last := -1
		for t, n := range running {
			if (n+s.slots-1)/s.slots <= level {
				continue
			}
			if sum++; last < 0 {
				sum += s.cold
			} else {
				sum += min(t-last-1, s.cold)
			}
			last = t
		}
	}
	return float64(sum)
}

func (s small) bound(t *rapid.T) float64 {
	survey := NewSurvey(s.settings)
	for i := range s.at {
		a := Arrival{At: time.Duration(s.at[i]) * time.Second, Function: "f", Service: time.Duration(s.service[i]) * time.Second}
		if err := survey.Arrive(a); err != nil {
			t.Fatal(err)
		}
	}
	return survey.Oracle().GPUSeconds
}

// TestNothingIsBelowTheBound tries all schedules of small traces.
func TestNothingIsBelowTheBound(t *testing.T) {
	tight := 0
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSmall(rt)
		best, bound := s.best(nil, s.late), s.bound(rt)
		if bound > best+1e-9 {
			rt.Fatalf("%+v: the bound is %g, and a schedule costs %g", s, bound, best)
		}
		if bound > best-1e-9 {
			tight++
		}
	})
	if tight == 0 {
		t.Error("the bound was reached by no schedule of any trace: it says too little")
	}
}

// TestNoPolicyIsBelowTheBound holds the bound against the policies themselves.
func TestNoPolicyIsBelowTheBound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		arrivals := drawArrivals(rt)
		settings := fixed(rapid.IntRange(1, 4).Draw(rt, "slots"), time.Duration(rapid.IntRange(0, 20).Draw(rt, "cold"))*time.Second)
		survey := NewSurvey(settings)
		for _, a := range arrivals {
			if err := survey.Arrive(a); err != nil {
				rt.Fatal(err)
			}
		}
		bound := survey.Oracle()
		if d := bound.Useful + bound.Cold + bound.Idle - bound.GPUSeconds; math.Abs(d) > 1e-6 || bound.Idle < -1e-6 {
			rt.Fatalf("the bound's parts: %+v", bound)
		}
		for _, f := range every() {
			_, r := simulateAll(t, Config{Family: f, Settings: settings}, arrivals)
			if r.Attainment >= 0.99 && r.GPUSeconds < bound.GPUSeconds-1e-6 {
				rt.Fatalf("%s: %g GPU-seconds at %g, the bound is %g", f.Name, r.GPUSeconds, r.Attainment, bound.GPUSeconds)
			}
		}
	})
}

// TestFixedIsTheFewest: the size found meets the objective, and one less does not.
func TestFixedIsTheFewest(t *testing.T) {
	arrivals := flash(30_000, 3)
	settings := fixed(4, 10*time.Second)
	survey := NewSurvey(settings)
	for _, a := range arrivals {
		if err := survey.Arrive(a); err != nil {
			t.Fatal(err)
		}
	}
	z := survey.Sizing()
	for passes := 0; !z.Done(); passes++ {
		if passes > 10 {
			t.Fatal("the search does not end")
		}
		for _, a := range arrivals {
			z.Arrive(a)
		}
		z.Narrow()
	}
	w, r := simulateAll(t, Config{Family: z.Fixed(), Settings: settings, Always: survey.Names, Begin: survey.Begin}, arrivals)
	if r.Attainment < 0.99 || r.Cold != 0 || r.ColdRate != 0 {
		t.Errorf("fixed: %+v", r)
	}
	for _, f := range w.functions {
		if got := float64(f.tally.inTime) / float64(f.tally.requests); got < 0.99 {
			t.Errorf("%s: %g in time with %d replicas", f.name, got, z.Replicas(f.name))
		}
	}
	_, r = simulateAll(t, Config{Family: survey.Peak(), Settings: settings, Always: survey.Names, Begin: survey.Begin}, arrivals)
	if r.Attainment != 1 || r.Wait.P99 != 0 {
		t.Errorf("peak: %+v", r)
	}
	less := z.Fixed()
	less.Always = func(f string) int { return max(0, z.Replicas(f)-1) }
	less.New = func(f string, _ Settings) Policy { return constant(z.Replicas(f) - 1) }
	w, _ = simulateAll(t, Config{Family: less, Settings: settings, Always: survey.Names, Begin: survey.Begin}, arrivals)
	for _, f := range w.functions {
		if got := float64(f.tally.inTime) / float64(f.tally.requests); got >= 0.99 {
			t.Errorf("%s: %g in time with one replica less than %d", f.name, got, z.Replicas(f.name))
		}
	}
}
