package dispatch

import (
	"testing"
	"time"

	"stoker.dev/stoker/scale"
)

// still is a ledger that nobody changes.
type still struct {
	Ledger
	l scale.Ledger
}

func (s still) Newest() *scale.Ledger { return &s.l }

// A platform that has seen no day of inference lends what is idle; one that has lends by what was wanted then.
func TestIdleGPUsAreLentByWhatWasWantedBefore(t *testing.T) {
	now := origin
	var l scale.Ledger
	l.SetInventory(nil, []scale.Device{{ID: "a", Node: "n", Product: "A", Healthy: true}, {ID: "b", Node: "n", Product: "A", Healthy: true}}, now)
	short := 0
	d := New(Options{Ledger: still{l: l}, Guaranteed: -1, Now: func() time.Time { return now }, Shortage: func() int { return short }})
	d.planner.saving = true // nothing stores it here
	d.see(now)
	if o := d.offers(2, now); len(o) != 1 || o[0].GPUs != 2 || !o[0].Until.Equal(now.Add(loanSpan)) {
		t.Errorf("on its first day it offers %+v", o)
	}
	// Each day at noon inference wants both GPUs for two hours.
	for range 3 * 24 * 12 {
		now = now.Add(5 * time.Minute)
		short = 0
		if h := now.Hour(); h == 12 || h == 13 {
			short = 2
		}
		d.see(now)
	}
	longest := func() (until time.Time) {
		for _, o := range d.offers(2, now) {
			if o.GPUs == 2 && o.Until.After(until) {
				until = o.Until
			}
		}
		return until
	}
	if until := longest(); until.Sub(now) < 4*time.Hour {
		t.Errorf("at midnight two GPUs are lent until %v", until)
	}
	for now.Hour() != 11 {
		now = now.Add(5 * time.Minute)
		d.see(now)
	}
	if until := longest(); until.Sub(now) > time.Hour {
		t.Errorf("at %v, an hour before they are wanted, two GPUs are lent until %v", now, until)
	}
}
