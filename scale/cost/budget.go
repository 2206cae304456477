package cost

import (
	"math"
	"time"
)

// commit is how long a replica must be able to run on what is left of a budget to be allowed: a
// cold start and some requests. A budget is never overrun by more than what runs until the next
// decision.
const commit = 5 * time.Minute

// near is the share of a budget from which on people are warned.
const near = 0.8

// Budget is what may be spent per UTC hour, day and month, in USD; 0 is no bound.
type Budget struct {
	Hour, Day, Month float64
	Cap              bool // replicas are held back; otherwise people are told
}

// None tells whether nothing is bounded.
func (b Budget) None() bool { return b.Hour == 0 && b.Day == 0 && b.Month == 0 }

// Spent is what was spent in the current UTC hour, day and month, in USD.
type Spent struct{ Hour, Day, Month float64 }

// Left is what the tightest bound leaves, in USD, never below 0; +Inf without a bound.
func (b Budget) Left(s Spent) float64 {
	left := math.Inf(1)
	b.each(s, func(_ string, limit, spent float64) { left = min(left, max(0, limit-spent)) })
	return left
}

// Strain is the share of the most strained bound that is spent, and its window: 1 is all of it.
func (b Budget) Strain(s Spent) (share float64, window string) {
	b.each(s, func(w string, limit, spent float64) {
		if x := spent / limit; x > share || window == "" {
			share, window = x, w
		}
	})
	return share, window
}

// Near tells whether people should be warned.
func (b Budget) Near(s Spent) bool {
	share, _ := b.Strain(s)
	return share >= near
}

func (b Budget) each(s Spent, do func(window string, limit, spent float64)) {
	for _, w := range []struct {
		name         string
		limit, spent float64
	}{{"hour", b.Hour, s.Hour}, {"day", b.Day, s.Day}, {"month", b.Month, s.Month}} {
		if w.limit > 0 {
			do(w.name, w.limit, w.spent)
		}
	}
}

// Commit is what a replica must be able to spend, in USD, at a price per GPU-hour.
func Commit(perHour float64, gpus int) float64 { return perHour * float64(gpus) * commit.Hours() }

// Replicas is how many replicas may run on what is left, at a price in USD per GPU-hour: each must
// be able to run for five minutes. Replicas that cost nothing are not bounded: -1.
func Replicas(left, perHour float64, gpus int) int {
	each := Commit(perHour, gpus)
	if each <= 0 || math.IsInf(left, 1) {
		return -1
	}
	return int(min(math.Floor(left/each+1e-9), math.MaxInt32))
}

// windows are the starts of the current hour, day and month, in UTC.
func windows(now time.Time) (hour, day, month time.Time) {
	u := now.UTC()
	return u.Truncate(time.Hour), time.Date(u.Year(), u.Month(), u.Day(), 0, 0, 0, 0, time.UTC), time.Date(u.Year(), u.Month(), 1, 0, 0, 0, 0, time.UTC)
}
