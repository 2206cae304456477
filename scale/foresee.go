package scale

import "time"

// outlook is what is expected of an idle function: when one replica is started ahead of the next request, and until when
// it is held for it, both since the last need. The zero outlook expects nothing.
type outlook struct {
	start, from, to time.Duration
	sure            float64
	byDay           bool // told by past days, not by a rhythm
}

// shortest is for how long a level that is not needed is kept at least, seconds.
func (t *turn) shortest() float64 { return max(MinAutoKeepAlive.Seconds(), t.cold) }

// foresee says what is expected of an idle function: what comes by a clock is told more exactly than what comes at some
// time of the day.
func (t *turn) foresee() {
	if t.spec.KeepAlive >= 0 || !t.isIdle() || t.s.Failures.Count > 0 {
		return
	}
	t.byRhythm()
	if t.outlook.to == 0 {
		t.bySeason()
	}
}

// learnSeason notes that the function is in use.
func (t *turn) learnSeason() {
	if t.isIdle() && t.obs.Ended == 0 && t.obs.Refused == 0 {
		return
	}
	t.s.Season.learn(t.now, func(slots int) float64 {
		return plainSlots(&t.s.Habits.Gaps[0], &t.pool().Gaps[0], slots)
	})
}

// bySeason holds the last replica for a shorter time where past days went quiet at this time, and has one ready when they
// began again. Where that is before the hold would end, or so soon after it that a start would take as long, it is held until then.
// All of it is reckoned from the last slot with requests, so that it stays what it is until the next.
func (t *turn) bySeason() {
	s := &t.s.Season
	last, ok := s.last()
	if !ok || s.Proof < seasonProof {
		return
	}
	f := s.ahead(last)
	if f.n < seasonLeast {
		return
	}
	idleAt := func(slots int) time.Duration {
		return time.Unix(int64(last+slots)*int64(seasonSlot.Seconds()), 0).Sub(t.s.IdleSince)
	}
	comes := min(1, (f.soon+neverWeight)/(f.soon+f.n+neverWeight)/s.follow())
	t.keepAlive = t.autoHold(0, quiet{after: idleAt(1).Seconds(), less: 1 - comes})
	if w, ok := f.pays(slotOf(t.now)-last, t.miss(0), t.cold); ok {
		o := outlook{from: idleAt(w.from), to: idleAt(w.to), sure: w.sure, byDay: true}
		o.start = o.from - seconds(t.lead())
		if o.start <= t.keepAlive+seconds(t.cold) {
			t.keepAlive = max(t.keepAlive, o.to)
		}
		t.outlook = o
	}
	t.holds[0] = t.keepAlive
}

// lead is how long before it is needed a replica is started, seconds: nine of ten starts are ready by then.
func (t *turn) lead() float64 {
	own, pool := &t.s.Habits.Starts, &t.pool().Starts
	if own.Ready.total+pool.Ready.total == 0 {
		return t.cold
	}
	for _, sec := range edges[1:] {
		if own.slow(sec, pool) <= slowStart {
			return sec
		}
	}
	return t.cold
}

// warming is how many replicas there are to be for what is expected: one within its window, where a GPU is free for it.
// Nobody else gives way to what may not come.
func (t *turn) warming() int {
	o := t.outlook
	if o.to == 0 || !t.isIdle() || t.idle < o.start || t.idle >= o.to || count(t.fresh, Silent) > 0 {
		return 0
	}
	if t.have() == 0 && t.room() == 0 {
		return 0
	}
	return 1
}
