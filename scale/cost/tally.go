package cost

import "time"

// tally sums what functions held in the current hour, day and month, for budgets. It is made anew
// from rows after a start.
type tally struct{ hour, day, month window }

type window struct {
	start time.Time
	time  map[Account]time.Duration
}

// turn begins the windows that now is in.
func (t *tally) turn(now time.Time) {
	hour, day, month := windows(now)
	t.hour.begin(hour)
	t.day.begin(day)
	t.month.begin(month)
}

// begin never goes back: what is booked late belongs to a window that is over.
func (w *window) begin(start time.Time) {
	if start.After(w.start) || w.time == nil {
		w.start, w.time = start, map[Account]time.Duration{}
	}
}

// add charges an account for a span in all windows that it began in.
func (t *tally) add(at time.Time, a Account, d time.Duration) {
	for _, w := range []*window{&t.hour, &t.day, &t.month} {
		if !at.Before(w.start) {
			w.time[a] += d
		}
	}
}

// Recall makes the sums for budgets anew from all rows of the current month.
func (m *Meter) Recall(rows []Row, now time.Time) {
	m.tally = tally{}
	m.tally.turn(now)
	for _, r := range rows {
		for _, e := range r.Entries {
			if e.Function == "" {
				continue
			}
			for _, w := range []*window{&m.tally.hour, &m.tally.day, &m.tally.month} {
				if !r.Start.Before(w.start) {
					w.time[e.Account] += e.Time.Total()
				}
			}
		}
	}
}

// MonthStart is the first moment of the current UTC month.
func MonthStart(now time.Time) time.Time {
	_, _, month := windows(now)
	return month
}

// Spent is what the accounts that mine chooses have spent in the current windows, in USD, at a
// price per GPU-hour by product. Products without a price count as nothing.
func (m *Meter) Spent(mine func(function string) bool, price func(product string) (float64, bool)) Spent {
	sum := func(w window) float64 {
		usd := 0.0
		for a, d := range w.time {
			if !mine(a.Function) {
				continue
			}
			if perHour, known := price(a.Product); known {
				usd += perHour * d.Hours()
			}
		}
		return usd
	}
	return Spent{Hour: sum(m.tally.hour), Day: sum(m.tally.day), Month: sum(m.tally.month)}
}
