package simulate

import (
	"math"
	"testing"
	"time"

	"stoker.dev/stoker/scale"
)

// TestFunctionsMayDifferInGPUs: each is billed for its own, alone and beside others, and together they never hold more
// than the pool has.
func TestFunctionsMayDifferInGPUs(t *testing.T) {
	const pool = 10
	gpus := map[string]int{"small": 1, "large": 4}
	settings := func(f string) Settings {
		return Settings{
			Spec:      scale.Spec{Max: 50, Slots: 1, Wait: 5 * time.Second, WaitAt: 0.99, KeepAlive: 30 * time.Second, GPUs: gpus[f]},
			ColdStart: ColdStart{{P: 0.5, At: 10 * time.Second}},
		}
	}
	var both []Arrival
	for i := range 200 {
		name := "small"
		if i%3 == 0 {
			name = "large"
		}
		both = append(both, Arrival{At: time.Duration(i) * 4 * time.Second, Function: name, Service: 20 * time.Second})
	}
	w, r := simulateAll(t, Config{Family: Stoker(), Settings: settings}, both)
	sum := 0.0
	for _, f := range w.ByFunction() {
		sum += f.GPUSeconds
		split := w.byName[f.Function].split(w.now)
		if n := float64(gpus[f.Function]); math.Abs(split.Total()-f.GPUSeconds) > 1e-6 || split.Useful < 60*20*n {
			t.Errorf("%s: %+v, %g GPU-seconds", f.Function, split, f.GPUSeconds)
		}
	}
	if math.Abs(sum-r.GPUSeconds) > 1e-6*sum {
		t.Errorf("the parts are %g, the whole %g GPU-seconds", sum, r.GPUSeconds)
	}

	held, most := map[string]int{}, 0
	simulateAll(t, Config{Family: Stoker(), Settings: settings, Pool: pool, Timeline: func(row Row) {
		held[row.Function] = (row.Hot + row.Starting) * gpus[row.Function]
		most = max(most, held["small"]+held["large"])
	}}, both)
	if most > pool || most < pool-1 {
		t.Errorf("at most %d GPUs held, of a pool of %d", most, pool)
	}
}

// TestShortGPUsAreShared: who asks now and then is served in time beside one that could use every GPU there is, and what
// is only held warm goes for it.
func TestShortGPUsAreShared(t *testing.T) {
	settings := fixed(1, 5*time.Second)
	var arrivals []Arrival
	for i := range 2000 {
		at := time.Duration(i) * time.Second
		arrivals = append(arrivals, Arrival{At: at, Function: "flood", Service: 8 * time.Second})
		if i%100 == 50 {
			arrivals = append(arrivals, Arrival{At: at, Function: "meek", Service: 3 * time.Second})
		}
	}
	patient := func(f string) Settings {
		s := settings(f)
		s.Wait = 30 * time.Second
		return s
	}
	w, r := simulateAll(t, Config{Family: Stoker(), Settings: patient, Pool: 4}, arrivals)
	for _, f := range w.ByFunction() {
		if got := share(f.InTime, f.Requests); f.Function == "meek" && got < 0.95 {
			t.Errorf("%.2f of the meek one's in time", got)
		}
	}
	if r.Unserved > 0 {
		t.Errorf("%d were never served", r.Unserved)
	}
}
