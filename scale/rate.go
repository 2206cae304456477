package scale

import (
	"math"
	"time"
)

// rateWindow is over how long arrivals are smoothed: a few heartbeats, short against any
// cold start that hurts.
const rateWindow = 5 * time.Second

// rateLook is how often falling arrivals are looked at: the pace of heartbeats.
const rateLook = time.Second

// Rate is how many requests come, smoothed.
type Rate struct {
	PerSec float64   `json:"perSec"`
	Load   int       `json:"load"` // that waited and ran at the last call
	At     time.Time `json:"at,omitzero"`
}

// learnRate counts what came since the last call: what is there more than was, and what
// ended.
func (t *turn) learnRate() {
	r := &t.s.Rate
	load := t.pending + max(0, t.running)
	came := max(0, load-r.Load+int(min(t.obs.Ended, maxCount)))
	switch passed := t.now.Sub(r.At).Seconds(); {
	case r.At.IsZero(): // may have gathered for long
		came = 0
	case passed > 0:
		r.PerSec *= math.Exp(-passed / rateWindow.Seconds())
	}
	if r.PerSec < leastRate {
		r.PerSec = 0
	}
	r.PerSec += float64(came) / rateWindow.Seconds()
	r.Load, r.At = load, t.now
}

// leastRate is nothing: less than one request a year.
const leastRate = 1e-8

func (r Rate) settled(now time.Time) Rate {
	r.PerSec = saneNumber(r.PerSec)
	r.Load = clamp(r.Load, 0, 2*maxCount)
	r.At = notAfter(r.At, now)
	return r
}
