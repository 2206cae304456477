package scale

import (
	"math"
	"time"
)

// levelKinds is how many kinds of levels are told apart: the first replica, the second, the
// third and fourth, up to eight, and the rest. Within a kind gaps look alike.
const levelKinds = 5

// kindOf is the kind of a level, which counts from 1.
func kindOf(level int) int {
	switch {
	case level <= 2:
		return max(level, 1) - 1
	case level <= 4:
		return 2
	case level <= 8:
		return 3
	}
	return 4
}

// lastOf is the highest level of a kind.
func lastOf(kind int) int { return [levelKinds]int{1, 2, 4, 8, MaxReplicas}[kind] }

// Habits are what is learned of a function's traffic, or of that of a pool together.
type Habits struct {
	Gaps    [levelKinds]Spans    `json:"gaps"`             // how long a level was not needed
	Late    [levelKinds]Estimate `json:"late"`             // requests that were late when one had to be started
	Starts  Starts               `json:"starts"`           // how long starts take
	Allowed float64              `json:"allowed"`          // requests that may have been late, by the SLO
	Missed  float64              `json:"missed"`           // that were
	Blamed  float64              `json:"blamed,omitempty"` // of them, on starts that came too late, none for more than eventShare
	Since   time.Time            `json:"since,omitzero"`
}

// Constants of the price of a late request.
const (
	// minPrice is what a late request costs, GPU-seconds, while the SLO is met with ease:
	// little enough that the cold start itself decides.
	minPrice = 1
	// maxPrice bounds it: about three hours of a GPU for one request. Beyond, whoever wants
	// more sets scaling.min.
	maxPrice = 10_000
	// The price rises from the first to the second share of the error budget that is used,
	// evenly in its logarithm. It ends below 1, since what is learned from misses comes
	// after them, and begins early, so that it settles where the budget is just met: a
	// price that waits for the budget to be gone buys dearly what it could have had before. What is
	// left is for the burst that nothing foretells: one may take a fifth of a fortnight's budget.
	priceFrom, priceTo = 0.3, 0.75
	// budgetSpan is the time whose error budget may be spent at once: a day, so that the
	// unavoidable first misses of a new function are no emergency.
	budgetSpan = 24 * time.Hour
	// earlyPrice is how far the price rises by what was seen so far alone, long before a
	// day's budget is gone. It is below maxPrice, since a look at an hour may deceive.
	earlyPrice = 3_000
	// eventShare bounds what one late start counts for in that look, by a day's budget: a
	// single burst says little of the next, however many requests it made late.
	eventShare = 0.01
	// priorBudget late requests are assumed to have been allowed before anything was seen,
	// and priorUsed of them used: a little cautious while nothing is known.
	priorBudget, priorUsed = 3, 0.3
	// habitMemory is how fast old requests stop counting for the budget: two weeks.
	habitMemory = 14 * 24 * time.Hour
)

// PoolOf is what several functions learned together, each counting as much as it has seen.
// It is what [Observation.Pool] wants. Its order does not matter but for rounding.
func PoolOf(all []*Habits) *Habits {
	p := &Habits{}
	for _, h := range all {
		for k := range levelKinds {
			p.Gaps[k] = p.Gaps[k].plus(&h.Gaps[k], 1)
			p.Late[k] = p.Late[k].with(h.Late[k])
		}
		p.Starts.Ready = p.Starts.Ready.plus(&h.Starts.Ready, 1)
		p.Starts.Off = p.Starts.Off.plus(&h.Starts.Off, 1)
		p.Allowed += h.Allowed
		p.Missed += h.Missed
		p.Blamed += h.Blamed
		if p.Since.IsZero() || !h.Since.IsZero() && h.Since.Before(p.Since) {
			p.Since = h.Since
		}
	}
	return p
}

// with is the mean of both, weighted by their samples.
func (e Estimate) with(o Estimate) Estimate {
	n := e.Samples + o.Samples
	if n == 0 {
		return Estimate{}
	}
	return Estimate{Samples: n, Mean: (e.Mean*float64(e.Samples) + o.Mean*float64(o.Samples)) / float64(n)}
}

// price is what one more late request is worth, GPU-seconds: the more of the error budget
// is used, the more. Of two looks at it the dearer counts: at a day's budget, which a few
// bursts cannot use up, and at that of what came so far, which tells early.
func (h *Habits) price(now time.Time) float64 {
	day := rise(usedOf(h.Missed, h.dayBudget(now)), maxPrice)
	soFar := rise((h.Blamed+priorBudget*priorUsed)/(h.Allowed+priorBudget), earlyPrice)
	return max(day, soFar)
}

// rise is the price at a share of the budget that is used.
func rise(used, most float64) float64 {
	return minPrice * math.Pow(most/minPrice, clamp01((used-priceFrom)/(priceTo-priceFrom)))
}

// dayBudget is how many requests may be late at once: as many as the SLO allows in a day at
// the rate seen so far, or in all of the time that counts, if that is longer.
func (h *Habits) dayBudget(now time.Time) float64 {
	return h.Allowed * max(1, budgetSpan.Seconds()/max(1, now.Sub(h.Since).Seconds()))
}

// usedOf is part of whole, and nothing where there is no whole.
func usedOf(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return part / whole
}

func clamp01(x float64) float64 { return max(0, min(x, 1)) }

// fade lets what was counted fade with the time that passed.
func (h *Habits) fade(passed time.Duration) {
	share := math.Exp(-passed.Seconds() / habitMemory.Seconds())
	h.Allowed *= share
	h.Blamed *= share
	h.Missed *= share
}

// count takes in requests that ended, of which a share was allowed to be late, and those that
// began late.
func (h *Habits) count(ended uint64, late int, allowed float64, now time.Time) {
	if h.Since.IsZero() {
		h.Since = now
	}
	h.Allowed += float64(min(ended, maxCount)) * allowed
	h.Missed += float64(clamp(late, 0, maxCount))
}

// settle bounds what a store held.
func (h *Habits) settle(now time.Time) {
	h.Allowed, h.Missed, h.Blamed = saneNumber(h.Allowed), saneNumber(h.Missed), saneNumber(h.Blamed)
	h.Since = notAfter(h.Since, now)
}

// saneNumber makes anything a finite number that is not negative.
func saneNumber(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return max(0, min(x, math.MaxInt64))
}
