package scale

import (
	"fmt"
	"slices"
	"time"
)

// ReserveGang claims GPUs for every ask of a gang, or for none of them: half a gang can do nothing
// but hold GPUs that another could use. Each ask is placed on its own, so that several ranks may come
// to lie on one node. It is idempotent as [Ledger.Reserve] is. Errors: those of Reserve, of the first
// ask that cannot be met.
func (l *Ledger) ReserveGang(asks []Ask, ttl time.Duration, now time.Time) ([]Lease, error) {
	before := *l
	before.Leases = slices.Clone(l.Leases)
	out := make([]Lease, len(asks))
	for i, ask := range asks {
		lease, err := l.Reserve(ask, ttl, now)
		if err != nil {
			*l = before
			return nil, fmt.Errorf("rank %d of %d: %w", i, len(asks), err)
		}
		out[i] = lease
	}
	return out, nil
}
