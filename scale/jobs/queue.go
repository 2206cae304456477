package jobs

import (
	"math"
	"time"
)

// UsageHalfLife is the time after which GPU time that a queue has used counts half: a week's
// worth of holding back is forgotten in a month, and a night's use in some days.
const UsageHalfLife = 48 * time.Hour

// Unlimited is a borrowing limit that is none.
const Unlimited = -1

// Queue is a part of the pool. Its guarantee is never lent to others for longer than it takes to
// get it back; what others leave idle it may hold beside it.
type Queue struct {
	Name   string  `json:"name"`
	Share  int     `json:"share"`            // GPUs it is guaranteed; those of all queues together are no more than the pool has
	Borrow int     `json:"borrow"`           // GPUs it may hold beside them; Unlimited: any number
	Weight float64 `json:"weight,omitempty"` // of what is beyond the guarantees; 0: 1
	Usage  Usage   `json:"usage,omitzero"`
}

// most is how many GPUs the queue may hold.
func (q *Queue) most() int {
	if q.Borrow < 0 {
		return math.MaxInt
	}
	return q.Share + q.Borrow
}

// level is how much the queue has had lately, compared with its weight: queues whose use lies
// within the same power of two are level.
func (q *Queue) level(now time.Time) float64 {
	weight := q.Weight
	if weight <= 0 {
		weight = 1
	}
	return math.Floor(math.Log2(max(1, q.Usage.At(now)/weight/time.Hour.Seconds())))
}

// Usage is GPU-seconds that were used, of which older ones count less. The zero value has used nothing.
type Usage struct {
	GPUSeconds float64   `json:"gpuSeconds"`
	Counted    time.Time `json:"counted,omitzero"` // until when
}

// At is what the usage counts for at a moment, had nothing been used since.
func (u Usage) At(now time.Time) float64 {
	if u.Counted.IsZero() {
		return 0
	}
	return u.GPUSeconds * math.Exp2(-max(0, now.Sub(u.Counted)).Seconds()/UsageHalfLife.Seconds())
}

// Add counts GPUs that were held since the usage was counted last. It is exact however often it
// is called. A first call only begins to count.
func (u Usage) Add(gpus int, now time.Time) Usage {
	if u.Counted.IsZero() || now.Before(u.Counted) {
		u.Counted = now
		return u
	}
	kept := math.Exp2(-now.Sub(u.Counted).Seconds() / UsageHalfLife.Seconds())
	return Usage{
		GPUSeconds: u.GPUSeconds*kept + float64(gpus)*(1-kept)*UsageHalfLife.Seconds()/math.Ln2,
		Counted:    now,
	}
}
