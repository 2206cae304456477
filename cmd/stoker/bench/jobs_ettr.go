package bench

import "time"

// ettr is the effective training time ratio of a job that is killed every so often, at a moment that has
// nothing to do with its checkpoints: of the time between two kills, the restart is lost and on average
// half of what lies between two checkpoints, and of what is left the share that is not spent on saving
// counts:
//
//	(kill − restart − (interval + save)/2) / kill × interval / (interval + save)
//
// It is 0 where nothing is left.
func ettr(kill, interval, restart, save time.Duration) float64 {
	cycle := interval + save
	trained := kill - restart - cycle/2
	if trained <= 0 || interval <= 0 {
		return 0
	}
	return trained.Seconds() / kill.Seconds() * interval.Seconds() / cycle.Seconds()
}

// mean of some samples; 0 of none.
func mean(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// perSecond is a rate.
func perSecond(n int, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}
