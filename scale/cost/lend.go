package cost

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Lend says how many GPUs each owner of leases has on loan from now on; who is not in it has none. It
// may come before the leases do, and again as it is.
func (m *Meter) Lend(gpus map[string]int, now time.Time) {
	now = m.start(now)
	m.Loans = map[string]int{}
	for owner, n := range gpus {
		m.Loans[strings.TrimPrefix(owner, ownerPrefix)] += n
	}
	m.spread(now)
}

// spread notes which leases the loans are in: those that are named first, since one GPU of an owner's is
// as good as another. What they held until now is booked first.
func (m *Meter) spread(now time.Time) {
	left := maps.Clone(m.Loans)
	for _, id := range slices.Sorted(maps.Keys(m.Leases)) {
		x := m.Leases[id]
		lent := min(x.GPUs, left[x.Function])
		if lent != x.Lent {
			m.passLease(x, now)
			x.Lent = lent
		}
		if lent > 0 {
			left[x.Function] -= lent
		}
	}
}
