package request

import (
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// A request is late if its first delivery came after the objective's limit.
func TestLate(t *testing.T) {
	h := New(Options{})
	h.Config.Spec.Scaling.WaitSLO = functions.WaitSLO{P99: functions.Duration(5 * time.Second)}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name      string
		waited    time.Duration
		delivered int
		want      bool
	}{
		{"in time", 5 * time.Second, 1, false},
		{"late", 5*time.Second + 1, 1, true},
		{"tried before", time.Minute, 2, false},
	} {
		d := &events.Delivery{}
		d.Delivered, d.Request.Stored = c.delivered, began.Add(-c.waited)
		if got := h.late(d, began); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if h.late(&events.Delivery{}, began) {
		t.Error("late without a time at which it was stored")
	}
}
