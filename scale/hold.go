package scale

// Constants of holding what is not needed.
const (
	// poolWeight is how many gaps of its own a function must have seen before they count
	// more than those of its pool. Measured on recorded traffic: 3 to 20 make no difference
	// worth mentioning, own gaps alone cost up to twice as much.
	poolWeight = 10
	// neverWeight is the gap that never ends which everybody is assumed to have had once:
	// what has not come back is in no histogram.
	neverWeight = 1
)

// holdFor is for how many seconds a replica that is no longer needed is worth keeping.
//
// Gaps between needs are distributed as the histograms say. At each edge of a bin the
// replica is kept through the bin, which costs its length as far as the gap lasts, or let
// go, after which the next need costs a miss. That is optimal stopping; from the last bin
// to the first, whichever is cheaper from there on is what the bin before reckons with.
func holdFor(own, pool *Spans, missSec float64, q quiet) float64 {
	share := pool.share(poolWeight)
	longer := float64(own.over+neverWeight) + float64(pool.over*share)
	var ends [spanBins]float64
	for i := range spanBins {
		n := float64(own.bins[i] + pool.bins[i]*share)
		ends[i] = n * q.comes(edges[i])
		longer += n - ends[i]
	}
	kept, gone := 0.0, 0.0 // what it costs from here on, seconds times probability
	var keep [spanBins]bool
	for i := spanBins - 1; i >= 0; i-- {
		p := ends[i]
		stay := (longer+p/2)*(edges[i+1]-edges[i]) + kept
		gone += p * missSec
		kept, keep[i] = gone, stay < gone
		if keep[i] {
			kept = stay
		}
		longer += p
	}
	for i, k := range keep {
		if !k {
			return edges[i]
		}
	}
	return spanLimit
}

// quiet is a time from which on requests come less often than they otherwise do. The zero quiet is none.
type quiet struct {
	after float64 // seconds since the last need
	less  float64 // share of gaps that would end then and do not
}

// comes is how many of the gaps that would end at a time do.
func (q quiet) comes(sec float64) float64 {
	if sec < q.after {
		return 1
	}
	return 1 - q.less
}
