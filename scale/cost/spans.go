package cost

import (
	"iter"
	"slices"
	"time"
)

// span is a stretch of time within one minute.
type span struct {
	start  time.Time
	length time.Duration
}

// spans cuts a stretch of time at the full minutes; none if it is empty or goes back.
func spans(from, to time.Time) iter.Seq[span] { return cut(from, to, RowLength) }

func cut(from, to time.Time, step time.Duration) iter.Seq[span] {
	return func(yield func(span) bool) {
		for at := from; at.Before(to); {
			end := at.Truncate(step).Add(step)
			if end.After(to) {
				end = to
			}
			if !yield(span{at, end.Sub(at)}) {
				return
			}
			at = end
		}
	}
}

// Seal takes out the rows that can no longer be explained at now, and the hours that are complete
// thereby. The caller stores them and then the meter: until that is done, the meter that was
// stored before still has them.
func (m *Meter) Seal(now time.Time) (minutes, hours []Row) {
	m.Pass(now)
	edge := now.UTC().Add(-Explainable)
	n := 0
	for n < len(m.Rows) && !m.Rows[n].End().After(edge) {
		m.hour(m.Rows[n].Start).merge(m.Rows[n])
		n++
	}
	minutes, m.Rows = m.Rows[:n:n], m.Rows[n:]
	done := 0
	for done < len(m.Hours) && !m.Hours[done].End().After(edge) && (len(m.Rows) == 0 || !m.Hours[done].End().After(m.Rows[0].Start)) {
		done++
	}
	hours, m.Hours = m.Hours[:done:done], m.Hours[done:]
	for _, x := range m.Leases {
		for len(x.Open) > 0 && (len(m.Rows) == 0 || x.Open[0].Start.Before(m.Rows[0].Start)) {
			x.Open = x.Open[1:] // stays unknown
		}
	}
	return minutes, hours
}

// hour finds or makes the row of an hour that is not complete.
func (m *Meter) hour(at time.Time) *Row {
	start := at.Truncate(time.Hour)
	for i := range m.Hours {
		if m.Hours[i].Start.Equal(start) {
			return &m.Hours[i]
		}
	}
	m.Hours = append(m.Hours, Row{Start: start, Length: time.Hour})
	return &m.Hours[len(m.Hours)-1]
}

// Unsealed are copies of the rows that are not sealed yet, booked up to At.
func (m *Meter) Unsealed() []Row {
	out := make([]Row, 0, len(m.Rows))
	for _, r := range m.Rows {
		out = append(out, r.clone())
	}
	return out
}

// Copy is a meter with the rows of this one and nothing else, for [Meter.History].
func (m *Meter) Copy() *Meter {
	c := &Meter{Rows: m.Unsealed()}
	for _, r := range m.Hours {
		c.Hours = append(c.Hours, r.clone())
	}
	return c
}

// Exact is the first moment whose rows are kept by the minute.
func Exact(now time.Time) time.Time { return now.UTC().Add(-MinutesKept).Truncate(time.Hour) }

// History chooses from the rows that are stored and those that the meter still has the ones that
// are not before from, each moment once. The meter's word counts: what it has not sealed may have
// been stored all the same, right before the platform was killed. Moments before [Exact] are told
// by the hour.
func (m *Meter) History(minutes, hours []Row, from, now time.Time) []Row {
	exact := Exact(now)
	mine, hour := map[time.Time]bool{}, map[time.Time]bool{}
	for _, r := range m.Rows {
		mine[r.Start], hour[r.Start.Truncate(time.Hour)] = true, true
	}
	for _, r := range m.Hours {
		hour[r.Start] = true
	}
	var out []Row
	take := func(rows []Row, wanted func(time.Time) bool) {
		for _, r := range rows {
			if !r.Start.Before(from) && wanted(r.Start) {
				out = append(out, r.clone())
			}
		}
	}
	take(m.Rows, func(time.Time) bool { return true })
	take(minutes, func(t time.Time) bool { return !t.Before(exact) && !mine[t] })
	take(m.Hours, func(t time.Time) bool { return t.Before(exact) })
	take(hours, func(t time.Time) bool { return t.Before(exact) && !hour[t] })
	slices.SortFunc(out, func(a, b Row) int { return a.Start.Compare(b.Start) })
	return out
}
