package scale

import (
	"math"
	"slices"
	"time"

	"stoker.dev/stoker/functions"
)

const (
	// MinAutoKeepAlive bounds the automatic keep-alive: below, every pause in a conversation
	// would cost a cold start.
	MinAutoKeepAlive = 15 * time.Second
	// MaxAutoKeepAlive bounds the automatic keep-alive: above, a forgotten function would hold
	// its GPU through a coffee break.
	MaxAutoKeepAlive = 10 * time.Minute
	// autoKeepAliveColdStarts is the keep-alive in cold starts: idling for ten times what
	// a miss makes a caller wait.
	autoKeepAliveColdStarts = 10

	maxCount         = 1_000_000_000 // requests in one number of an observation
	maxSlotsInFlight = MaxSlots      // requests on one replica
	maxWaves         = 1_000_000
)

// Size is how many replicas take what waits within the wait SLO. Behind the requests that
// run, each slot can begin floor(wait / service time) further ones in time, and one at
// least, so
//
//	n = ceil(pending / (slots × max(1, floor(wait / service))))
//
// and never fewer than hold what runs. A wake from zero is the case with nothing running.
func Size(spec Spec, pending, inFlight int, serviceSec float64) int {
	spec = spec.sane()
	pending, inFlight = clamp(pending, 0, maxCount), clamp(inFlight, 0, maxCount)
	waves := 1.0
	if serviceSec > 0 {
		waves = max(1, min(math.Floor(spec.Wait.Seconds()/serviceSec), maxWaves))
	} else if spec.Wait > 0 {
		waves = maxWaves
	}
	running := math.Ceil(float64(inFlight) / float64(spec.Slots))
	waiting := math.Ceil(float64(pending) / (float64(spec.Slots) * waves))
	return int(min(max(running, waiting), MaxReplicas))
}

// AutoKeepAliveFor is the keep-alive a function gets when its manifest says auto: ten
// times its estimated cold start, between MinAutoKeepAlive and MaxAutoKeepAlive.
func AutoKeepAliveFor(coldStartSec float64) time.Duration {
	sec := min(coldStartSec*autoKeepAliveColdStarts, MaxAutoKeepAlive.Seconds())
	return max(MinAutoKeepAlive, time.Duration(sec*float64(time.Second)))
}

// measure computes demand and idleness from the observation.
func (t *turn) measure() {
	s := &t.s
	t.service = s.Service.Seconds(DefaultServiceTime)
	t.cold = s.ColdStart.Seconds(DefaultColdStart)
	t.keepAlive = t.spec.KeepAlive
	if t.keepAlive < 0 {
		t.keepAlive = AutoKeepAliveFor(t.cold)
	}
	t.demand = Size(t.spec, t.pending, t.busy, t.service)
	if s.Failures.Asked { // a probe is owed to whoever was refused
		t.demand = max(t.demand, 1)
	}
	switch {
	case !t.isIdle():
		s.IdleSince = time.Time{}
	case s.IdleSince.IsZero() || t.obs.Ended > 0 || t.obs.Refused > 0:
		s.IdleSince = t.now
	}
	if !s.IdleSince.IsZero() {
		t.idle = t.now.Sub(s.IdleSince)
	}
}

// learnTimes takes in service times and cold starts.
func (t *turn) learnTimes() {
	if n := t.obs.Ended; n > 0 {
		t.s.Service = t.s.Service.Learn(t.obs.ServiceSec/float64(n), n)
	}
	for _, d := range t.obs.ColdStarts {
		t.s.ColdStart = t.s.ColdStart.Learn(d.Seconds(), 1)
	}
}

// countRequests sums what waits, and what runs as the larger of both ways to know it. What
// runs on replicas on their way out needs no other replica, but the function is not idle
// while it does.
func (t *turn) countRequests() {
	for _, c := range functions.Classes() {
		t.pending = min(t.pending+clamp(t.obs.Pending[c], 0, maxCount), maxCount)
	}
	all, leaving := 0, 0
	for _, r := range t.obs.Replicas {
		n := clamp(r.InFlight, 0, maxSlotsInFlight)
		switch {
		case r.Phase == Gone:
			continue
		case r.Phase == Draining || slices.Contains(t.s.Last.Victims, r.ID):
			leaving += n
		}
		all += n
	}
	t.running = max(all, t.obs.InFlight)
	t.busy = clamp(t.running-leaving, 0, maxCount)
}
