package simulate

import (
	"hash/fnv"
	"slices"
	"time"
)

// Quantile is a point of a distribution: a share P of all cold starts takes At or less.
type Quantile struct {
	P  float64 // 0 to 1
	At time.Duration
}

// ColdStart is the distribution of the time from start to ready: quantiles in rising order,
// straight lines between them, nothing below the first and above the last. One quantile is
// a constant.
type ColdStart []Quantile

// At is the time at a share p of the distribution.
func (c ColdStart) At(p float64) time.Duration {
	if len(c) == 0 {
		return 0
	}
	i, _ := slices.BinarySearchFunc(c, p, func(q Quantile, p float64) int {
		if q.P < p {
			return -1
		}
		return 1
	})
	switch i {
	case 0:
		return c[0].At
	case len(c):
		return c[len(c)-1].At
	}
	lo, hi := c[i-1], c[i]
	return lo.At + time.Duration(float64(hi.At-lo.At)*(p-lo.P)/(hi.P-lo.P))
}

// Mean is the expected time.
func (c ColdStart) Mean() time.Duration {
	if len(c) == 0 {
		return 0
	}
	first, last := c[0], c[len(c)-1]
	sum := float64(first.At)*first.P + float64(last.At)*(1-last.P)
	for i := 1; i < len(c); i++ {
		sum += (c[i].P - c[i-1].P) * float64(c[i].At+c[i-1].At) / 2
	}
	return time.Duration(sum)
}

// draws gives each start of each function its place in the distribution. It depends on
// nothing else, so every policy meets the same luck: the difference between two policies
// is theirs.
type draws struct{ seed uint64 }

func newDraws(seed uint64, function string) draws {
	h := fnv.New64a()
	_, _ = h.Write([]byte(function)) // never fails
	return draws{mix(seed ^ mix(h.Sum64()))}
}

// at is the n-th draw, evenly spread over [0, 1).
func (d draws) at(n int) float64 {
	return float64(mix(d.seed+uint64(n)*golden)>>11) / (1 << 53)
}

// golden is 2^64 divided by the golden ratio, the step of SplitMix64 (Steele, Lea and
// Flood, OOPSLA 2014), whose finalizer mix is.
const golden = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
