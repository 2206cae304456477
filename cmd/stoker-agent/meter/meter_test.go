package meter

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/events"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestEverySecondIsBookedOnce plays lives of a replica: whatever happens, the four accounts
// add up to its age, and each equals what a naive second-by-second observer counted.
func TestEverySecondIsBookedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, now := New(events.Receipt{}, start), start
		phase, flying := events.PhaseStarting, 0
		var want events.Totals
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			passed := time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond
			observe(&want, phase, flying, passed)
			now = now.Add(passed)
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				next := rapid.SampledFrom([]events.Phase{events.PhaseLoading, events.PhaseReady, events.PhaseDraining, events.PhaseExited}).Draw(t, "phase")
				if m.Phase(next, now) {
					phase = next
				}
			case 1:
				m.Begin(now)
				flying++
			case 2:
				if flying > 0 {
					m.End(Served, passed, now)
					flying--
				}
			case 3:
				m.Read(now, &events.Heartbeat{})
			}
		}
		var hb events.Heartbeat
		m.Read(now, &hb)
		got := hb.Totals
		if sum := got.ColdSec + got.UsefulSec + got.IdleSec + got.DrainingSec; math.Abs(sum-now.Sub(start).Seconds()) > 1e-6 {
			t.Fatalf("accounts add up to %v s of a life of %v: %+v", sum, now.Sub(start), got)
		}
		for _, pair := range [][2]float64{{got.ColdSec, want.ColdSec}, {got.UsefulSec, want.UsefulSec}, {got.IdleSec, want.IdleSec}, {got.DrainingSec, want.DrainingSec}} {
			if math.Abs(pair[0]-pair[1]) > 1e-6 {
				t.Fatalf("got %+v, an observer counted %+v", got, want)
			}
		}
	})
}

func observe(want *events.Totals, phase events.Phase, flying int, passed time.Duration) {
	account := map[events.Phase]*float64{events.PhaseStarting: &want.ColdSec, events.PhaseLoading: &want.ColdSec,
		events.PhaseReady: &want.IdleSec, events.PhaseDraining: &want.DrainingSec, events.PhaseExited: &want.DrainingSec}[phase]
	if flying > 0 {
		account = &want.UsefulSec
	}
	*account += passed.Seconds()
}

func TestPhasesOnlyGoForward(t *testing.T) {
	m := New(events.Receipt{Demand: start.Add(-time.Second)}, start)
	for _, step := range []struct {
		phase events.Phase
		want  bool
	}{{events.PhaseLoading, true}, {events.PhaseReady, true}, {events.PhaseLoading, false}, {events.PhaseReady, false},
		{events.PhaseExited, true}, {events.PhaseDraining, false}} {
		if got := m.Phase(step.phase, start.Add(time.Minute)); got != step.want {
			t.Errorf("to %s: changed %v, want %v", step.phase, got, step.want)
		}
	}
	var hb events.Heartbeat
	m.Read(start.Add(time.Minute), &hb)
	r := hb.Receipt
	if !r.Demand.Before(r.Spawned) || !r.Spawned.Equal(start) || r.Loading.IsZero() || r.Ready.IsZero() || !r.FirstRequest.IsZero() {
		t.Errorf("receipt %+v", r)
	}
}

func TestReceiptKeepsTheFirst(t *testing.T) {
	m := New(events.Receipt{}, start)
	m.Begin(start.Add(1 * time.Second))
	m.FirstByte(start.Add(2 * time.Second))
	m.Begin(start.Add(3 * time.Second))
	m.FirstByte(start.Add(4 * time.Second))
	m.Late()
	m.End(Failed, time.Second, start.Add(5*time.Second))
	m.End(Expired, 0, start.Add(5*time.Second))
	var hb events.Heartbeat
	m.Read(start.Add(6*time.Second), &hb)
	if r := hb.Receipt; r.FirstRequest != start.Add(time.Second) || r.FirstByte != start.Add(2*time.Second) {
		t.Errorf("receipt %+v", r)
	}
	if got := hb.Totals; got.Failed != 1 || got.Expired != 1 || got.Late != 1 || got.Served != 0 || got.ServiceSec != 1 || hb.InFlight != 0 {
		t.Errorf("totals %+v, %d in flight", got, hb.InFlight)
	}
}
