package simulate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"stoker.dev/stoker/scale"
)

// timeless is stoker without what it knows of times of day: before every decision that is taken from it.
func timeless() Family {
	f := Stoker()
	remembers := f.New
	f.New = func(name string, s Settings) Policy { return forgetful{remembers(name, s).(*stoker)} }
	f.Shared = nil
	return f
}

type forgetful struct{ *stoker }

func (p forgetful) Decide(v *View) Order {
	p.state.Season = scale.Season{}
	return p.stoker.Decide(v)
}

// office is a function that is used from nine to five, every day or on working days, with random gaps of a mean. A trace
// begins on a day at midnight.
func office(days int, mean time.Duration, weekdays bool, seed uint64) []Arrival {
	random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a trace
	const opens, closes = 9 * time.Hour, 17 * time.Hour
	var arrivals []Arrival
	for day := range days {
		if weekdays && day%7 >= 5 {
			continue
		}
		midnight := time.Duration(day) * 24 * time.Hour
		gap := func() time.Duration { return time.Duration(random.ExpFloat64() * float64(mean)) }
		for at := opens + gap(); at < closes; at += gap() {
			arrivals = append(arrivals, Arrival{At: midnight + at, Function: "f", Service: 2 * time.Second})
		}
	}
	return arrivals
}

// TestOfficeHoursAreKnown: what is used from nine to five needs fewer GPU-seconds and has more requests in time than where
// times of day are forgotten, with requests that come often or seldom, every day or on working days.
func TestOfficeHoursAreKnown(t *testing.T) {
	for _, c := range []struct {
		name     string
		days     int
		mean     time.Duration
		weekdays bool
		cold     time.Duration
	}{
		{"often", 28, 3 * time.Minute, false, time.Minute},
		{"now and then", 28, 10 * time.Minute, false, time.Minute},
		{"now and then, quick to start", 28, 10 * time.Minute, false, 20 * time.Second},
		{"seldom", 28, 30 * time.Minute, false, time.Minute},
		{"often on working days", 56, 3 * time.Minute, true, time.Minute},
		{"now and then on working days", 56, 10 * time.Minute, true, time.Minute},
		{"seldom on working days", 56, 30 * time.Minute, true, time.Minute},
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s, seed %d", c.name, seed), func(t *testing.T) {
				arrivals := office(c.days, c.mean, c.weekdays, seed)
				settings := fixed(1, c.cold)
				_, with := simulateAll(t, Config{Family: Stoker(), Settings: settings}, arrivals)
				_, without := simulateAll(t, Config{Family: timeless(), Settings: settings}, arrivals)
				if with.GPUSeconds > without.GPUSeconds || with.Attainment <= without.Attainment || with.ColdRate >= without.ColdRate {
					t.Errorf("%d requests: %.0f GPU-seconds, %.4f in time, %.4f cold; forgetful %.0f, %.4f, %.4f", with.Requests,
						with.GPUSeconds, with.Attainment, with.ColdRate, without.GPUSeconds, without.Attainment, without.ColdRate)
				}
			})
		}
	}
}

// TestNoHoursChangeNothing: for functions whose requests come at random times of the day, it makes no difference.
func TestNoHoursChangeNothing(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 4)) //nolint:gosec // a trace
		var arrivals []Arrival
		for at := time.Duration(0); at < 21*24*time.Hour; {
			at += time.Duration(random.ExpFloat64() * float64(seed+1) * float64(30*time.Minute))
			arrivals = append(arrivals, Arrival{At: at, Function: "f", Service: 2 * time.Second})
		}
		settings := fixed(1, time.Minute)
		_, with := simulateAll(t, Config{Family: Stoker(), Settings: settings}, arrivals)
		_, without := simulateAll(t, Config{Family: timeless(), Settings: settings}, arrivals)
		if with.GPUSeconds != without.GPUSeconds || with.Attainment != without.Attainment {
			t.Errorf("seed %d: %.0f GPU-seconds, %.4f in time; forgetful %.0f, %.4f", seed, with.GPUSeconds, with.Attainment, without.GPUSeconds, without.Attainment)
		}
	}
}
