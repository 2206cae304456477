// Package plan chooses what to write into manifests from what simulations of candidates came to.
package plan

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"stoker.dev/stoker/scale"
)

// Candidate is one way to keep a function: bounds and keep-alive, as a manifest has them.
type Candidate struct {
	Min       int
	KeepAlive time.Duration // [scale.AutoKeepAlive]: learned
}

// Candidates are those that are tried for a function, the simplest first: nothing kept by force, one replica always on,
// idle times that others ship, some always on, and as many always on as the objective needs when nothing is ever started.
func Candidates(some, always int) []Candidate {
	return []Candidate{
		{0, scale.AutoKeepAlive}, {1, scale.AutoKeepAlive},
		{0, time.Minute}, {0, 5 * time.Minute}, {0, 20 * time.Minute}, {0, time.Hour},
		{some, scale.AutoKeepAlive}, {always, scale.AutoKeepAlive},
	}
}

// ease is how much of the late requests that are allowed is planned for: functions share an error budget, so while some
// are late less, others are late more.
const ease = 0.5

// Worst are the functions that one replica is to be kept for, so that the others' late requests are within what is allowed:
// those with the most.
func Worst(late map[string]int, allowed float64) map[string]bool {
	names := slices.SortedFunc(maps.Keys(late), func(a, b string) int { return cmp.Or(cmp.Compare(late[b], late[a]), cmp.Compare(a, b)) })
	left := 0
	for _, n := range late {
		left += n
	}
	worst := map[string]bool{}
	for _, f := range names {
		if float64(left) <= ease*allowed {
			break
		}
		worst[f] = true
		left -= late[f]
	}
	return worst
}

// Outcome is what a candidate came to.
type Outcome struct {
	GPUSeconds float64
	Late       float64 // requests that were late, divided by those that may be; 1 meets the objective
}

// Meets is whether no more requests were late than may be.
func (o Outcome) Meets() bool { return o.Late <= 1 }

// worthIt is by which share another candidate must be cheaper than a simpler one to be chosen. It is chosen with
// hindsight, and what it saves on one recording by less than that it may cost on the next.
const worthIt = 0.05

// Choose picks the cheapest of some outcomes, of which there must be one, that meets the objective, or where none does
// the one with the fewest late requests; of those that cost about the same the first. It returns its index.
func Choose(outcomes []Outcome) int {
	best := 0
	for i, o := range outcomes {
		b := outcomes[best]
		switch {
		case o.Meets() && !b.Meets(), o.Meets() && o.GPUSeconds < b.GPUSeconds*(1-worthIt), !o.Meets() && o.Late < b.Late:
			best = i
		}
	}
	return best
}

// Nines are the shares whose cost is told.
func Nines() []float64 { return []float64{0.9, 0.99, 0.999} }

// hoursPerMonth is the average: 365.25 days / 12.
const hoursPerMonth = 365.25 * 24 / 12

// Cost is what GPU time costs at a rate.
type Cost struct {
	PerHour         float64 `json:"usd_per_hour"`
	PerMonth        float64 `json:"usd_per_month"` // of 730.5 hours like the trace's
	PerRequest      float64 `json:"usd_per_request"`
	PerMillionToken float64 `json:"usd_per_million_tokens"` // 0: the trace tells none
}

// CostOf prices GPU-seconds held in some seconds for so many requests and tokens; price is USD per GPU-hour.
func CostOf(gpuSeconds, seconds, price float64, requests int, tokens float64) Cost {
	total := gpuSeconds / 3600 * price
	var c Cost
	if seconds > 0 {
		c.PerHour = total / (seconds / 3600)
		c.PerMonth = c.PerHour * hoursPerMonth
	}
	if requests > 0 {
		c.PerRequest = total / float64(requests)
	}
	if tokens > 0 {
		c.PerMillionToken = total / tokens * 1e6
	}
	return c
}
