package scale

const (
	// maxHedge is how many further starts may race for one replica.
	maxHedge = 7
	// sureStart and hopeless bound the probability of a slow start between which racing
	// helps: below, one start is enough; above, all are slow alike.
	sureStart, hopeless = 0.01, 0.95
	// leastStart is what a start costs at least, seconds, however quick: it is also carried
	// out and called off.
	leastStart = 5
)

// Starts is how long starts take, from the order to ready: those that became ready, and
// those called off before.
type Starts struct {
	Ready Spans `json:"ready"`
	Off   Spans `json:"off"`
}

// slow is the probability that a start takes longer than sec. It is the product-limit
// estimate (Kaplan and Meier 1958), in which a start that was called off counts as one that
// lasted at least as long: otherwise races, won by quick starts, would make all look quick.
func (s *Starts) slow(sec float64, pool *Starts) float64 {
	share := float32(0)
	if sum := pool.Ready.total + pool.Off.total; sum > 0 {
		share = poolWeight / sum
	}
	running := s.Ready.total + s.Off.total + share*(pool.Ready.total+pool.Off.total)
	slow := 1.0
	for i := 0; i < spanBins && edges[i] < sec && running > 0; i++ {
		ready := s.Ready.bins[i] + share*pool.Ready.bins[i]
		off := s.Off.bins[i] + share*pool.Off.bins[i]
		if atRisk := running - off/2; ready > 0 {
			part := min(1, (sec-edges[i])/(edges[i+1]-edges[i]))
			slow *= 1 - part*min(1, float64(ready/max(atRisk, ready)))
		}
		running -= ready + off
	}
	return max(0, slow)
}

// hedge is how many replicas are started beyond those needed, so that one of those that
// race is likely to be ready while what waits can still begin in time: as long as the lates
// it saves are worth more than a start. What wins takes the work, the others are called off.
func (t *turn) hedge() int {
	missing := t.demand - serving(t.fresh) - len(t.old)
	if t.spec.KeepAlive >= 0 || t.pending == 0 || missing <= 0 {
		return 0
	}
	slow := t.s.Habits.Starts.slow(t.spec.Wait.Seconds(), &t.pool().Starts)
	if slow < sureStart || slow > hopeless {
		return 0
	}
	each := 0
	for late := slow; each < maxHedge && t.price*late*(1-slow) > max(t.cold, leastStart); each++ {
		late *= slow
	}
	return min(each*missing, MaxReplicas)
}
