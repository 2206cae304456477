// Package plan chooses what to write into manifests from what simulations of candidates came to.
package plan

import (
	"time"

	"stoker.dev/stoker/scale"
)

// Candidate is one way to keep a function: bounds and keep-alive, as a manifest has them.
type Candidate struct {
	Min       int
	KeepAlive time.Duration // [scale.AutoKeepAlive]: learned
}

// Candidates are those that are tried, the simplest first: nothing kept by force, one replica always on, and idle
// times that others ship.
func Candidates() []Candidate {
	return []Candidate{
		{0, scale.AutoKeepAlive}, {1, scale.AutoKeepAlive},
		{0, time.Minute}, {0, 5 * time.Minute}, {0, 20 * time.Minute}, {0, time.Hour},
	}
}

// Outcome is what a function came to under a candidate.
type Outcome struct {
	Candidate
	GPUSeconds float64
	InTime     float64 // share of its requests
}

// Choose picks the cheapest outcome that serves the share in time, or where none does the one that serves the most;
// of equals the first. It is false where there is nothing to choose from.
func Choose(outcomes []Outcome, share float64) (best Outcome, ok bool) {
	for i, o := range outcomes {
		switch meets, did := o.InTime >= share, best.InTime >= share; {
		case i == 0, meets && !did, meets && did && o.GPUSeconds < best.GPUSeconds, !meets && !did && o.InTime > best.InTime:
			best = o
		}
	}
	return best, len(outcomes) > 0
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
