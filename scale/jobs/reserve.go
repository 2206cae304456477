package jobs

import (
	"slices"
	"time"
)

// Backfill is how long a job may be left alone that is admitted past a reservation of which nobody
// knows when it will be met. So the one it is for waits no longer than this once everybody else
// has made room.
const Backfill = time.Hour

// reservation is what an overdue job waits for: nobody behind it is admitted who would still have to
// be left alone at that moment.
type reservation struct {
	standing *standing
	at       time.Time // zero: depends on jobs that cannot be preempted
	quota    bool      // only its own queue is in its way
}

// reserve finds when the jobs behind an overdue one can all make room.
func (t *turn) reserve(at int, block Block) {
	o := &t.order[at]
	t.reserved = &reservation{standing: o, quota: block == BlockQuota}
	trial := t.soon.clone()
	// Those ahead that are left alone for now make room in the end as well.
	var behind []*standing
	for i := range t.order {
		if v := &t.order[i]; (i > at || v.holds) && t.s.Jobs[v.index].Running() && !t.gone[v.index] && v.yields(o) &&
			!t.s.Jobs[v.index].freeAt().IsZero() {
			behind = append(behind, v)
		}
	}
	slices.SortStableFunc(behind, func(a, b *standing) int {
		return t.s.Jobs[a.index].freeAt().Compare(t.s.Jobs[b.index].freeAt())
	})
	for _, v := range behind {
		j := &t.s.Jobs[v.index]
		t.give(&trial, v.index, j.ranks())
		if _, ok := t.fits(&trial, o, t.s.Jobs[o.index].least(), 0); ok {
			t.reserved.at = j.freeAt()
			return
		}
	}
}

// barred tells whether a reservation keeps a waiting job out.
func (t *turn) barred(o *standing) bool {
	r := t.reserved
	if r == nil || !o.yields(r.standing) || r.quota && o.queue != r.standing.queue {
		return false
	}
	j := t.s.Jobs[o.index]
	j.Started = t.s.Now
	until, bound := j.freeAt(), r.at
	if bound.IsZero() {
		bound = t.s.Now.Add(Backfill)
	}
	return until.IsZero() || until.After(bound)
}
