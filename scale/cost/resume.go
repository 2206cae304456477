package cost

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"stoker.dev/stoker/scale"
)

// Resume takes up a stored meter after a time in which nobody booked: devices are as l says now.
//
// A lease that is there held its GPUs all the time; its agent may still explain it. Of what was
// leased or freed after the meter was stored nobody knows when: for lost, the longest time that
// the meter can be behind, it is unknown. The rest of the time the platform was down.
func (m *Meter) Resume(l scale.Ledger, lost time.Duration, now time.Time) error {
	if m.Version > Version {
		return fmt.Errorf("the meter is of version %d; this stoker reads up to %d: run the newer one", m.Version, Version)
	}
	if m.At.IsZero() {
		m.Advance(l, now)
		return nil
	}
	now = now.UTC().Round(0)
	from := m.At
	if oldest := now.Add(-HoursKept); from.Before(oldest) {
		from = oldest
	}
	if from.After(now) { // the clock was set back
		from = now
	}
	m.tally.turn(now)
	before, changed := m.gone(l), m.Epoch != l.Epoch
	known := map[string]bool{}
	for id, x := range m.Leases {
		known[id], x.at = true, now
	}
	m.take(l, now)
	for id, x := range m.Leases {
		x.Heard = x.Heard || !known[id] // how long it was starting, nobody knows any more
	}
	exact, doubt := Exact(now), now
	if until := from.Add(lost); changed && until.Before(now) {
		doubt = until
	}
	if !changed {
		doubt = from
	}
	for _, x := range []struct {
		from, to time.Time
		doubtful bool
	}{{from, doubt, true}, {doubt, now, false}} {
		for s := range cut(x.from, minTime(x.to, exact), time.Hour) {
			m.absent(s, before, x.doubtful, m.hour)
		}
		for s := range cut(maxTime(x.from, exact), x.to, RowLength) {
			m.absent(s, before, x.doubtful, m.row)
		}
	}
	m.At = now
	return nil
}

// gone is how many GPUs each account held that hold none any more.
func (m *Meter) gone(l scale.Ledger) map[Account]int {
	still := map[string]bool{}
	for _, x := range l.Leases {
		still[x.Holder] = x.State != scale.Released
	}
	out := map[Account]int{}
	for id, x := range m.Leases {
		if !still[id] {
			out[x.Account] += x.GPUs
		}
	}
	return out
}

// absent books one span in which nobody booked.
func (m *Meter) absent(s span, gone map[Account]int, doubtful bool, row func(time.Time) *Row) {
	r := row(s.start)
	for _, x := range m.Leases {
		d := s.length * time.Duration(x.GPUs)
		if d == 0 {
			continue
		}
		e := r.entry(x.Account)
		e.Time.put(Unknown, d)
		e.Lent += s.length * time.Duration(x.Lent)
		m.tally.add(s.start, x.Account, d)
		switch n := len(x.Open); {
		case r.Length != RowLength: // too old to be told apart
		case n > 0 && x.Open[n-1].Start.Equal(r.Start):
			x.Open[n-1].Left += d
		default:
			x.Open = append(x.Open, Open{r.Start, d})
		}
	}
	for _, sp := range m.Spare {
		pool, rest, cause := Account{Product: sp.Product}, sp.GPUs, sp.Cause
		if cause == Free && doubtful {
			cause = Unknown
			for _, a := range slices.SortedFunc(maps.Keys(gone), compare) {
				if a.Product == sp.Product {
					n := min(gone[a], rest)
					rest -= n
					r.entry(a).Time.put(Unknown, s.length*time.Duration(n))
				}
			}
		} else if cause == Free {
			cause = Down
		}
		r.entry(pool).Time.put(cause, s.length*time.Duration(rest))
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
