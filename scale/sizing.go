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
	// MaxBlindHold bounds it while nothing is known: a new function does not hold its GPU
	// through a coffee break.
	MaxBlindHold = 10 * time.Minute

	// easySlack is the share of the wait SLO that a queue may fill before more replicas are
	// started, while late requests are cheap; none of it where they are dear.
	easySlack = 0.3
	// dearSlack is the price from which no request is left to wait on purpose.
	dearSlack = 100
	// dearHeadroom is the price from which headroomMost replicas are started for each that
	// the arrivals need.
	dearHeadroom = 1000
	headroomMost = 3
	// doubt is how many standard deviations a short look at the arrivals may be too high by
	// chance before replicas are started for it; half of it where late requests are dear,
	// twice as many where starts are in time for what waits.
	doubt = 2

	maxCount         = 1_000_000_000 // requests in one number of an observation
	maxSlotsInFlight = MaxSlots      // requests on one replica
	maxWaves         = 1_000_000
)

// Size is how many replicas let everything that waits begin within slackSec. Behind the
// requests that run, each slot can begin slack / service time further ones in that time, so
//
//	n = ceil((pending + in flight) / (slots × (1 + slack / service)))
//
// and never fewer than hold what runs. A wake from zero is the case with nothing running.
func Size(slots, pending, inFlight int, serviceSec, slackSec float64) int {
	slots = clamp(slots, 1, MaxSlots)
	pending, inFlight = clamp(pending, 0, maxCount), clamp(inFlight, 0, maxCount)
	waves := 1 + min(max(slackSec, 0)/max(serviceSec, 1e-3), maxWaves)
	running := math.Ceil(float64(inFlight) / float64(slots))
	waiting := math.Ceil(float64(pending+inFlight) / (float64(slots) * waves))
	return int(min(max(running, waiting), MaxReplicas))
}

// slack is for how long what waits may go on waiting before more replicas are started,
// seconds: the start has to fit within the SLO. Where it does not, nothing started now helps
// what waits now; then the price says how eager to be.
func (t *turn) slack() float64 {
	wait := t.spec.Wait.Seconds()
	return max(wait-t.cold, easySlack*(1-dear(t.price, dearSlack))*wait*t.tooLate)
}

// lateStarts is the share of starts that take longer than the wait SLO allows, so that they
// do not help the request they are made for.
func (t *turn) lateStarts() float64 {
	own, pool := &t.s.Habits.Starts, &t.pool().Starts
	switch wait := t.spec.Wait.Seconds(); {
	case own.Ready.total+pool.Ready.total > 0:
		return own.slow(wait, pool)
	case t.cold > wait:
		return 1
	}
	return 0
}

// dear is how far a price has come on the way to most, 0 to 1, in its logarithm.
func dear(price, most float64) float64 { return clamp01(math.Log(max(1, price)) / math.Log(most)) }

// forArrivals is how many replicas are busy all the time at the rate at which requests come
// (Little's law), rounded up. It rises before what runs does, by a service time. Where starts
// are in time for what waits, the queue tells soon enough: then the rate has to be surer, and
// none is started beyond it. It says nothing until a service time was seen.
func (t *turn) forArrivals() int {
	if t.pending+t.busy == 0 || t.s.Service.Samples == 0 {
		return 0
	}
	x := dear(t.price, dearHeadroom) * t.tooLate
	seen := t.s.Rate.PerSec * rateWindow.Seconds()
	sure := max(0, seen-doubt*(2-t.tooLate)*(1-x/2)*math.Sqrt(seen)) / rateWindow.Seconds()
	headroom := 1 + (headroomMost-1)*x
	return int(min(math.Floor(sure*t.service/float64(t.spec.Slots)*headroom+x), MaxReplicas))
}

// measure computes demand and idleness from the observation.
func (t *turn) measure() {
	s := &t.s
	t.service = s.Service.Seconds(DefaultServiceTime)
	t.cold = s.ColdStart.Seconds(DefaultColdStart)
	t.price = t.pool().price(t.now)
	t.tooLate = t.lateStarts()
	t.keepAlive = t.holdTime(0)
	t.followWake()
	t.coming = t.toCome()
	t.backlog = Size(t.spec.Slots, t.pending+t.coming, t.busy, t.service, t.slack())
	t.rising = t.forArrivals()
	t.demand = max(t.backlog, t.rising)
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
	t.learnSeason()
	t.foresee()
}

// learnTimes takes in service times and cold starts.
func (t *turn) learnTimes() {
	if n := t.obs.Ended; n > 0 {
		t.s.Service = t.s.Service.Learn(t.obs.ServiceSec/float64(n), n)
	}
	for _, d := range t.obs.ColdStarts {
		t.s.ColdStart = t.s.ColdStart.Learn(d.Seconds(), 1)
		t.s.Habits.Starts.Ready = t.s.Habits.Starts.Ready.Add(d)
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
