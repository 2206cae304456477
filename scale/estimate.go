package scale

import (
	"math"
	"time"
)

// Constants of what is learned.
const (
	// DefaultServiceTime stands in while no request of a function has ended: what a chat
	// completion takes. A wrong guess costs the first wake only: too long a one some
	// replicas too many, too short a one the wait of all who come while they load.
	DefaultServiceTime = 5 * time.Second
	// DefaultColdStart stands in while no replica of a function has become ready: the
	// middle of what loading a model from local disk takes.
	DefaultColdStart = 20 * time.Second
	// learnRate is the weight of one new sample; about the last 20 count.
	learnRate = 0.1
	// maxEstimate bounds what can be learned, seconds: a day. It keeps one absurd sample
	// from outliving many good ones.
	maxEstimate = 86400
)

// Estimate is a number learned from samples: their exponentially weighted mean. Until
// 1/learnRate samples are in, it is their plain mean.
type Estimate struct {
	Samples uint64  `json:"samples"`
	Mean    float64 `json:"mean"`
}

// Learn adds n samples with the given mean. What is not a positive finite number is
// ignored.
func (e Estimate) Learn(mean float64, n uint64) Estimate {
	if n == 0 || math.IsNaN(mean) || math.IsInf(mean, 0) || mean < 0 {
		return e
	}
	mean = min(mean, maxEstimate)
	total := e.Samples + min(n, math.MaxUint32)
	plain := float64(total-e.Samples) / float64(total)
	weight := max(plain, 1-math.Pow(1-learnRate, float64(n)))
	if e.Samples == 0 {
		weight = 1
	}
	e.Mean = e.sane() + weight*(mean-e.sane())
	e.Samples = min(total, math.MaxUint32)
	return e
}

// Seconds is the estimate, or the given default while nothing was learned.
func (e Estimate) Seconds(unknown time.Duration) float64 {
	if e.Samples == 0 {
		return unknown.Seconds()
	}
	return e.sane()
}

func (e Estimate) sane() float64 { return max(0, min(e.Mean, maxEstimate)) }
