package scale

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// Constants of times of day and days of the week.
const (
	// seasonSlot is the resolution, and daySlots how many of them a day has. Half hours are what a number
	// of JSON holds for a day, and finer ones are seldom sure with the few days there are.
	seasonSlot = 30 * time.Minute
	daySlots   = int(24 * time.Hour / seasonSlot)
	weekDays   = 7
	weekSlots  = weekDays * daySlots
	// seasonDays is how many days are remembered: each day of the week five times.
	seasonDays = 5 * weekDays
	// seasonLeast is on how many days a function must have gone quiet at this time before anything is said of when it
	// is used again.
	seasonLeast = 3
	// seasonNear is how many slots before count as the same time of day: nobody stops at the same minute every day.
	seasonNear = 2
	// weekLeast is how often a day of the week must have been seen before it counts more than other days, which then
	// count as weekOthers days together.
	weekLeast, weekOthers = 2, 2
	// seasonStep bounds how much one gap may say for or against times of day, nats; seasonProof is from where on they are
	// acted upon: if gaps came as the histograms say, whatever the time, the chance to get there would be one in e^6, 400,
	// which a pool of many functions needs, and two lucky guesses do not. seasonMost bounds what can be saved up, so that
	// other ways are noticed in days.
	seasonStep, seasonProof, seasonMost = 2.5, 6.0, 9.0
)

// Season is in which half hours, by UTC, a function was used on the last days, and whether that told better than the
// histograms of its gaps when it is used again: office hours, nights, weekends.
type Season struct {
	Day   int      `json:"day,omitempty"`   // the last of Used, since 1970
	Used  []uint64 `json:"used,omitempty"`  // a bit for each half hour, the first of a day in the lowest; oldest day first
	Proof float64  `json:"proof,omitempty"` // nats by which past gaps were told better by times of day
}

// slotOf is the half hour of a time, counted since 1970.
func slotOf(at time.Time) int { return int(max(0, at.Unix()) / int64(seasonSlot.Seconds())) }

// first is the first slot that is remembered.
func (s *Season) first() int { return (s.Day + 1 - len(s.Used)) * daySlots }

// used tells whether there were requests in a slot.
func (s *Season) used(slot int) bool {
	i := slot/daySlots - (s.Day + 1 - len(s.Used))
	return slot >= 0 && i >= 0 && i < len(s.Used) && s.Used[i]>>(slot%daySlots)&1 == 1
}

// last is the last slot with requests; false where there is none.
func (s *Season) last() (int, bool) {
	for i := len(s.Used) - 1; i >= 0; i-- {
		if u := s.Used[i]; u != 0 {
			return s.first() + i*daySlots + bits.Len64(u) - 1, true
		}
	}
	return 0, false
}

// after is the first slot with requests later than slot; false where there is none.
func (s *Season) after(slot int) (int, bool) {
	from := max(slot+1-s.first(), 0)
	for i := from / daySlots; i < len(s.Used); i++ {
		u := s.Used[i]
		if i == from/daySlots {
			u = u >> (from % daySlots) << (from % daySlots)
		}
		if u != 0 {
			return s.first() + i*daySlots + bits.TrailingZeros64(u), true
		}
	}
	return 0, false
}

// use notes that there are requests in a slot. The days are a copy.
func (s *Season) use(slot int) {
	day := slot / daySlots
	if len(s.Used) == 0 || day-s.Day >= seasonDays {
		s.Used, s.Day = nil, day-1
	}
	days := make([]uint64, 0, len(s.Used)+max(0, day-s.Day))
	days = append(days, s.Used...)
	for ; s.Day < day; s.Day++ {
		days = append(days, 0)
	}
	days = days[max(0, len(days)-seasonDays):]
	if i := day - (s.Day + 1 - len(days)); i >= 0 {
		days[i] |= 1 << (slot % daySlots)
	}
	s.Used = days
}

// settled bounds what a store held.
func (s Season) settled(now time.Time) Season {
	if math.IsNaN(s.Proof) || s.Day > slotOf(now)/daySlots || s.Day < len(s.Used)-1 {
		return Season{} // of no function, or of a clock that was set back by days
	}
	s.Used = s.Used[max(0, len(s.Used)-seasonDays):]
	if slices.ContainsFunc(s.Used, func(u uint64) bool { return u>>daySlots != 0 }) {
		return Season{}
	}
	s.Proof = max(-seasonMost, min(s.Proof, seasonMost))
	return s
}

// seasonal is what past days say of the quiet that follows a slot: in which slot it ended, counted from that one.
type seasonal struct {
	ends [weekSlots + 1]float64 // days, weighed
	n    float64                // of them, with a quiet of at least a slot
	soon float64                // with requests in the next slot already
}

// ahead asks past days what came after this slot of the day.
func (s *Season) ahead(slot int) seasonal {
	var f seasonal
	same := 0
	each := func(take func(end int, weekday bool)) {
		for d := 1; d < len(s.Used); d++ {
			at := slot - d*daySlots
			if next, ok := s.after(at - seasonNear - 1); !ok || next > at {
				continue // not used at this time of that day
			}
			if next, ok := s.after(at); ok {
				take(next-at, d%weekDays == 0)
			}
		}
	}
	others := 0
	each(func(_ int, weekday bool) {
		if weekday {
			same++
		} else {
			others++
		}
	})
	weight := 1.0
	if same >= weekLeast && others > 0 {
		weight = min(1, weekOthers/float64(others))
	}
	each(func(end int, weekday bool) {
		w := weight
		if weekday {
			w = 1
		}
		switch {
		case end <= 1:
			f.soon += w
		default:
			f.n += w
			if end <= weekSlots {
				f.ends[end] += w
			}
		}
	})
	return f
}

// learn takes in that there are requests at now, and first how well the end of the quiet before was told. The plain
// model is the histograms': what they say of a quiet of that many slots.
func (s *Season) learn(now time.Time, plain func(slots int) float64) {
	slot := slotOf(now)
	if s.used(slot) {
		return
	}
	last, ok := s.last()
	if quiet := slot - last; ok && quiet > 1 && quiet <= weekSlots {
		if f := s.ahead(last); f.n >= seasonLeast {
			s.Proof += max(-seasonStep, min(f.better(quiet, plain(quiet)), seasonStep))
			s.Proof = max(-seasonMost, min(s.Proof, seasonMost))
		}
	}
	s.use(slot)
}

// better is by how many nats past days told the end of a quiet better than the histograms, which count for one more day.
// Slots beside the one it was count for a quarter each.
func (f *seasonal) better(quiet int, plain float64) float64 {
	near := f.ends[quiet]/2 + f.ends[quiet-1]/4 + f.ends[min(quiet+1, weekSlots)]/4
	return math.Log((near/plain + 1) / (f.n + 1))
}

// window is when a replica is worth having though nobody asks, in slots.
type window struct {
	from, to int
	sure     float64 // how likely the next request comes in it
}

// pays finds the first window that ends after a slot, as holdFor finds how long to hold: going back from the end of a week,
// slot by slot, whichever is cheaper from there on of having a replica, starting one, and doing without. To do without
// costs a miss where the quiet ends then; to have one costs idling, and to start it the start.
func (f *seasonal) pays(after int, missSec, coldSec float64) (w window, ok bool) {
	slot := seasonSlot.Seconds()
	var begin, stay [weekSlots + 2]bool
	alive := neverWeight + f.n
	for _, n := range f.ends {
		alive -= n
	}
	up, down := 0.0, 0.0
	for j := weekSlots; j > 1; j-- {
		n := f.ends[j]
		have := (alive+n/2)*slot + min(up, down)
		without := n*missSec + down
		start := (alive+n)*coldSec + have
		begin[j] = start < without
		up, down = have, min(without, start)
		stay[j] = up < down
		alive += n
	}
	for j := 2; j <= weekSlots; j++ {
		if !begin[j] {
			continue
		}
		w = window{from: j, to: j + 1}
		for stay[w.to] {
			w.to++
		}
		if w.to > after {
			w.sure = f.within(w)
			return w, true
		}
		j = w.to - 1
	}
	return window{}, false
}

// within is how likely a quiet that lasts until a window ends in it.
func (f *seasonal) within(w window) float64 {
	in, before := 0.0, 0.0
	for j, n := range f.ends {
		switch {
		case j < w.from:
			before += n
		case j < w.to:
			in += n
		}
	}
	return in / (neverWeight + f.n - before)
}

// follow is the share of slots with requests that had requests in the next one, too: how busy a function is while it is
// in use.
func (s *Season) follow() float64 {
	used, both := 1, 1
	for i, u := range s.Used {
		used += bits.OnesCount64(u)
		next := u >> 1
		if i+1 < len(s.Used) {
			next |= s.Used[i+1] & 1 << (daySlots - 1)
		}
		both += bits.OnesCount64(u & next)
	}
	return float64(both) / float64(used)
}

// plainSlots is how likely the histograms say a quiet of more than a slot ends after so many. Where in its slot a gap
// begins is a matter of chance, so a gap of one slot and a half is as often a quiet of one as of two. One gap that may
// be of any length is added, so that nothing is impossible.
func plainSlots(own, pool *Spans, slots int) float64 {
	slot := seasonSlot.Seconds()
	spread := 1 / (perTen * math.Log10(spanLimit/slot))
	share := pool.share(poolWeight)
	over := float64(own.over + pool.over*share)
	in, all := 0.0, over
	for i := range spanBins {
		low, high := edges[i]/slot, edges[i+1]/slot
		if high <= 1 {
			continue
		}
		n := (float64(own.bins[i]+pool.bins[i]*share) + spread) / (high - low)
		least := func(k int) float64 { return n * (quietArea(high-float64(k)) - quietArea(low-float64(k))) } // more than k slots
		all += least(1)
		in += least(slots-1) - least(slots)
	}
	return max(in/all, 1e-6)
}

// quietArea is the integral up to x of how likely a gap is a quiet of more slots than some number, x being by how many
// slots it is longer: not at all below nothing, for sure from one more on.
func quietArea(x float64) float64 {
	x = max(x, 0)
	if x < 1 {
		return x * x / 2
	}
	return x - 0.5
}
