package scale

import (
	"math"
	"time"
)

// Constants of reckoning how many more come while the first replica starts.
const (
	// batchSpan is how long after the first request others are taken for one batch with it: a batch says
	// nothing of more.
	batchSpan = 100 * time.Millisecond
	// wakeLook is the least time over which a rate is reckoned. Measured on recorded traffic: 200 ms to a
	// second make little difference.
	wakeLook = 200 * time.Millisecond
)

// Wake is the wait of a function of which no replica serves, from the first request it was decided
// on: what has come since the first batch tells how fast they come.
type Wake struct {
	At   time.Time `json:"at,omitzero"`
	Load int       `json:"load,omitempty"` // requests of the first batch
}

// followWake notes when requests begin to wait for a first replica, and when that is over.
func (t *turn) followWake() {
	w := &t.s.Wake
	switch {
	case t.pending == 0 || serving(t.fresh)+serving(t.old) > 0:
		*w = Wake{}
	case w.At.IsZero():
		*w = Wake{At: t.now, Load: t.pending}
	case t.now.Sub(w.At) < batchSpan:
		w.Load = t.pending
	}
}

// toCome is how many requests there will be beside those that wait when the first replica is ready,
// and that will be late unless they begin then.
//
// Where a start takes longer than the SLO allows, whoever comes until that much before its end is
// late whatever is done, and stands in front of those who come after. What all of them need has to be
// started with the first replica: what is started when they have come is ready too late for them.
func (t *turn) toCome() int {
	w := t.s.Wake
	if w.At.IsZero() {
		return 0
	}
	passed := t.now.Sub(w.At)
	left := t.cold - t.spec.Wait.Seconds() - passed.Seconds()
	came := float64(max(0, t.pending-w.Load))
	sure := max(0, came-doubt*math.Sqrt(came)) / max(passed-batchSpan, wakeLook).Seconds()
	return int(min(sure*max(0, left)*t.tooLate, maxCount))
}

func (w Wake) settled(now time.Time) Wake {
	return Wake{At: notAfter(w.At, now), Load: clamp(w.Load, 0, maxCount)}
}
