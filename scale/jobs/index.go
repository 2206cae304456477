package jobs

import (
	"math"
	"time"
)

// GangExponent weighs a gang's size against its expected service. With 1 the order is by
// GPU-seconds; 1.5 lets large gangs wait a little longer, which leaves fewer GPUs idle while one
// waits for the last it needs.
const GangExponent = 1.5

// belief is a distribution of run times.
type belief struct {
	weight [bins]float64 // sums to 1
	mean   [bins]float64 // of the run times in a bin, seconds
}

// table is what the policies need of a belief.
type table struct {
	mean  float64       // run time, seconds
	level [bins]float64 // by the bin of the attained service: the power of two that the index lies in
	still [bins]float64 // by that bin: the run time that is left, on average, seconds
}

func newTable(b belief, gpus int) *table {
	t := &table{}
	gang := math.Pow(float64(max(1, gpus)), GangExponent)
	for i := range bins {
		t.mean += b.weight[i] * b.mean[i]
		t.level[i] = math.Floor(math.Log2(max(1, b.index(i)*gang)))
		t.still[i] = b.rest(i)
	}
	return t
}

// rest is how long a job still runs that has attained so much, seconds.
func (t *table) rest(attained time.Duration) float64 { return t.still[binOf(attained)] }

// rest is the run time that is left at the beginning of a bin, on average, seconds.
func (b *belief) rest(bin int) float64 {
	alive, service := 0.0, 0.0
	for i := bin; i < bins; i++ {
		alive += b.weight[i]
		service += b.weight[i] * max(0, b.mean[i]-bottom(bin))
	}
	if alive == 0 {
		return 0
	}
	return service / alive
}

// index is the Gittins index of a job whose attained service is in a bin, in seconds of service
// per end: the least over all horizons at which a bin ends. Attained is where the bin begins, and
// whoever ends in that very bin still needs a part of it.
func (b *belief) index(bin int) float64 {
	attained := bottom(bin)
	still := (bottom(bin+1) - attained) / 4
	alive := 0.0
	for i := bin; i < bins; i++ {
		alive += b.weight[i]
	}
	best, ended, service := math.Inf(1), 0.0, 0.0
	for i := bin; i < bins; i++ {
		ended += b.weight[i]
		service += b.weight[i] * max(still, b.mean[i]-attained)
		if ended > 0 {
			best = min(best, (service+max(0, alive-ended)*(bottom(i+1)-attained))/ended)
		}
	}
	return best
}
