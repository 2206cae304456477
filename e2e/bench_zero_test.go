package e2e

import (
	"testing"

	"stoker.dev/stoker/cmd/stoker/bench"
)

func TestBenchZeroWakesRealProcesses(t *testing.T) {
	t.Parallel()
	const wakes = 3
	r := measured[bench.ZeroReport](t, "zero", "--provider", "local", "--functions", "2", "--wakes", "3")
	if r.Provider != "local" || r.At != "random" || r.Functions != 2 || r.LoadAverage == "" {
		t.Errorf("not what was asked for: %+v", r)
	}
	if r.Wakes != wakes || r.Answered != wakes || r.Lost != 0 || r.FloorSamples < wakes {
		t.Errorf("%d wakes, %d answered, %d lost, %d of the floor", r.Wakes, r.Answered, r.Lost, r.FloorSamples)
	}
	if s, a := r.EventToStart, r.EventToAnswer; s.P50 <= 0 || s.P50 > s.Max || a.Max <= s.P50 || r.UpdateFloor.P50 <= 0 {
		t.Errorf("times that contradict each other: %+v, %+v, floor %+v", s, a, r.UpdateFloor)
	}
}
