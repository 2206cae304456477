package scale

import (
	"math"
	"slices"
	"time"
)

// Constants of expecting the next request.
const (
	// rhythmGaps is how many gaps a rhythm is looked for in, and rhythmLeast how many there must be.
	rhythmGaps, rhythmLeast = 16, 6
	// rhythmShare of the gaps lie in the narrowest window, in which the next one is expected to end.
	rhythmShare = 0.75
	// rhythmPrior is how many expectations are assumed to have been wrong before any was tried: a function whose gaps
	// look alike by chance has to be right some times before anything is started for it.
	rhythmPrior = 1
	// slowStart is the share of starts that may take longer than the one ahead of an expected request is given.
	slowStart = 0.1
)

// Rhythm is the last gaps in which a function could have gone to zero, and whether they ended when they were expected to:
// what comes by a clock, such as every half hour.
type Rhythm struct {
	Gaps []time.Duration `json:"gaps,omitempty"` // oldest first
	Hits Estimate        `json:"hits"`           // share of gaps that ended within the window expected before
}

// expected is the window after the last need in which the next one is expected: the narrowest that holds most gaps, and
// twice as much again on each side, for those that are rarer: a moment of idling is cheap beside a request that is late.
func (r Rhythm) expected() (from, to time.Duration, ok bool) {
	n := len(r.Gaps)
	if n < rhythmLeast {
		return 0, 0, false
	}
	gaps := append(make([]time.Duration, 0, rhythmGaps), r.Gaps...) // no more than a stack has room for
	slices.Sort(gaps)
	most := int(math.Ceil(rhythmShare * float64(n)))
	best := 0
	width := func(i int) time.Duration { return gaps[i+most-1] - gaps[i] }
	for i := range n - most + 1 {
		if width(i) < width(best) {
			best = i
		}
	}
	margin := 2*width(best) + rateLook // a gap is seen by heartbeats
	return max(0, gaps[best]-margin), gaps[best+most-1] + margin, true
}

// learn takes in a gap.
func (r Rhythm) learn(gap time.Duration) Rhythm {
	if from, to, ok := r.expected(); ok {
		hit := 0.0
		if gap >= from && gap <= to {
			hit = 1
		}
		r.Hits = r.Hits.Learn(hit, 1)
	}
	r.Gaps = append(slices.Clone(r.Gaps), gap)
	r.Gaps = r.Gaps[max(0, len(r.Gaps)-rhythmGaps):]
	return r
}

// sure is how likely the next expectation is right, by those before.
func (r Rhythm) sure() float64 {
	n := float64(min(r.Hits.Samples, maxCount))
	return clamp01(r.Hits.sane()) * n / (n + rhythmPrior)
}

// settled bounds what a store held.
func (r Rhythm) settled() Rhythm {
	negative := func(d time.Duration) bool { return d < 0 }
	if slices.ContainsFunc(r.Gaps, negative) {
		r.Gaps = slices.DeleteFunc(slices.Clone(r.Gaps), negative)
	}
	r.Gaps = r.Gaps[max(0, len(r.Gaps)-rhythmGaps):]
	return r
}

// byRhythm compares holding the last replica, as the histograms say, with letting it go at once and starting one ahead of
// the request that is expected: the price of that is what the start and the waiting take where the expectation is right,
// and all of it beside a miss where it is wrong.
func (t *turn) byRhythm() {
	r := t.s.Rhythm
	from, to, ok := r.expected()
	start := from - seconds(t.lead())
	if !ok || start.Seconds() <= t.shortest() {
		return // holding it costs no more
	}
	sure, miss, hold := r.sure(), t.miss(0), t.keepAlive.Seconds()
	held, ahead, hits := 0.0, 0.0, 0.0
	for _, g := range r.Gaps {
		if g.Seconds() > hold {
			held += hold + miss
		} else {
			held += g.Seconds()
		}
		if g >= from && g <= to {
			ahead += (g - start).Seconds()
			hits++
		}
	}
	held /= float64(len(r.Gaps))
	ahead = t.shortest() + sure*ahead/hits + (1-sure)*((to-start).Seconds()+miss)
	if ahead < held {
		t.outlook = outlook{start: start, from: from, to: to, sure: sure}
		t.keepAlive = seconds(t.shortest())
		t.holds[0] = t.keepAlive
	}
}
