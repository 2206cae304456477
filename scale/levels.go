package scale

import (
	"math"
	"time"
)

// Constants of learning from starts.
const (
	// lateShare is how much of the lates of a start each further replica is blamed for,
	// compared with the one before it: had the first been there, most would have begun in
	// time.
	lateShare = 0.2
	// latePrior is how many starts of its own a function must have had before they count
	// more than those of its pool.
	latePrior = 3
	// thinGaps is below how many gaps, own and the pool's, a histogram says nothing. Then a
	// replica is held until idling has cost what a miss would: break-even, which is never
	// worse than twice the best (ski rental).
	thinGaps = 10
	// maxLessons bounds what waits to be learned.
	maxLessons = 2 * levelKinds
)

// Episode is a start of further replicas, and the requests that were late for want of them.
type Episode struct {
	From int     `json:"from"` // replicas there were
	To   int     `json:"to"`   // replicas there were to be; 0: nothing is being started
	Late float64 `json:"late"`
	Over bool    `json:"over,omitempty"`
}

// Lesson is something to be learned at the next moment: a decision made again at the same
// moment must not come out differently for having been made.
type Lesson struct {
	Kind int           `json:"kind"` // of a level; calledOff: a start
	For  time.Duration `json:"for"`
}

// calledOff marks the lesson that a start was called off.
const calledOff = -1

// teach notes a lesson.
func (s *State) teach(kind int, d time.Duration) {
	if len(s.Lessons) < maxLessons {
		s.Lessons = append(s.Lessons[:len(s.Lessons):len(s.Lessons)], Lesson{Kind: kind, For: d})
	}
}

// learnHabits takes in what was noted before, and what the observation counts.
func (t *turn) learnHabits() {
	h := &t.s.Habits
	if passed := t.now.Sub(t.s.Rate.At); passed > 0 && !t.s.Rate.At.IsZero() {
		h.fade(passed)
		t.takeLessons()
	}
	h.count(t.obs.Ended, t.obs.Late, 1-t.spec.WaitAt, t.now)
	if t.s.Episode.To > 0 {
		t.s.Episode.Late += float64(clamp(t.obs.Late, 0, maxCount))
	}
}

func (t *turn) takeLessons() {
	h := &t.s.Habits
	for _, l := range t.s.Lessons {
		switch {
		case l.Kind == calledOff:
			h.Starts.Off = h.Starts.Off.Add(l.For)
		case l.Kind >= 0 && l.Kind < levelKinds:
			h.Gaps[l.Kind] = h.Gaps[l.Kind].Add(l.For)
			if l.Kind == 0 && l.For.Seconds() > max(MinAutoKeepAlive.Seconds(), t.s.ColdStart.Seconds(DefaultColdStart)) {
				t.s.Rhythm = t.s.Rhythm.learn(l.For)
			}
		}
	}
	t.s.Lessons = nil
	if e := t.s.Episode; e.Over {
		h.blame(e)
		h.Blamed += min(e.Late, max(1, eventShare*t.pool().dayBudget(t.now)))
		t.s.Episode = Episode{}
	}
}

// blame says for how many late requests each kind of level was to blame.
func (h *Habits) blame(e Episode) {
	late := e.Late
	for level := e.From + 1; level <= e.To; level = lastOf(kindOf(level)) + 1 {
		h.Late[kindOf(level)] = h.Late[kindOf(level)].Learn(late, 1)
		late *= math.Pow(lateShare, float64(min(lastOf(kindOf(level)), e.To)-level+1))
	}
}

// follow keeps track of what is being started.
func (t *turn) follow() {
	e := &t.s.Episode
	switch {
	case t.goal > t.haveFresh() && t.warm >= t.goal: // nobody waits for it, so it says nothing of misses
	case t.goal > t.haveFresh():
		if e.To == 0 || e.Over {
			*e = Episode{From: min(t.have(), t.demand-1)}
			e.From = max(e.From, 0)
		}
		e.To = clamp(max(e.To, t.demand), e.From+1, MaxReplicas)
		e.Over = false
	case e.To > 0:
		e.Over = t.pending == 0 && t.unseen == 0 && count(t.fresh, Starting) == 0
	}
}

// noteGaps notes how long the levels above from, up to to, were not needed.
func (t *turn) noteGaps(from, to int) {
	points := t.s.Window.Points
	for i := len(points) - 1; i >= 0 && from < to; i-- {
		upTo := min(points[i].N, to)
		for level := from + 1; level <= upTo; level = lastOf(kindOf(level)) + 1 {
			t.s.teach(kindOf(level), t.now.Sub(points[i].At))
		}
		from = max(from, upTo)
	}
}

// miss is what it costs, GPU-seconds, when a level of a kind has to be started: the start,
// and the requests that are late for it.
func (t *turn) miss(kind int) float64 {
	own, pool := t.s.Habits.Late[kind], t.pool().Late[kind]
	n := float64(min(own.Samples, 1/learnRate))
	late := 1.0 // unknown: the one that finds it missing
	if n > 0 || pool.Samples > 0 {
		late = (own.sane()*n + pool.sane()*latePrior) / (n + latePrior)
	}
	return t.cold + t.price*late
}

// holdTime is for how long levels of a kind are held when they are no longer needed. Where
// the manifest sets a keep-alive, the first level has that, and others the window.
func (t *turn) holdTime(kind int) time.Duration {
	if t.spec.KeepAlive >= 0 {
		if kind == 0 {
			return t.spec.KeepAlive
		}
		return ScaleInWindow
	}
	if t.holds[kind] == 0 {
		t.holds[kind] = t.autoHold(kind, quiet{})
	}
	return t.holds[kind]
}

// autoHold is the hold that the histograms make worth while.
func (t *turn) autoHold(kind int, q quiet) time.Duration {
	own, pool := &t.s.Habits.Gaps[kind], &t.pool().Gaps[kind]
	miss := t.miss(kind)
	sec := holdFor(own, pool, miss, q)
	if own.total+pool.total < thinGaps {
		sec = max(sec, min(miss, MaxBlindHold.Seconds()))
	}
	sec = max(sec, t.cold)
	least := MinAutoKeepAlive
	if kind > 0 {
		least = ScaleInWindow
	}
	return max(least, min(seconds(sec), spanLimit*time.Second))
}

// heldLevel is the highest level that is held though it is not needed, and when that
// changes next.
func (t *turn) heldLevel() (held int, until time.Time) {
	due := soonest{after: t.now}
	points := t.s.Window.Points
	held = t.s.Need
	below := held
	for i := len(points) - 1; i >= 0; i-- {
		p := points[i]
		for level := below + 1; level <= p.N; {
			last := min(lastOf(kindOf(level)), p.N)
			if end := p.At.Add(t.holdTime(kindOf(level))); end.After(t.now) {
				held = last
				due.add(end)
			}
			level = last + 1
		}
		below = max(below, p.N)
	}
	return held, due.at
}

// seconds makes a duration, in whole milliseconds.
func seconds(sec float64) time.Duration {
	return time.Duration(math.Ceil(sec*1000)) * time.Millisecond
}

// pool is what functions learned together; the function's own habits where nobody says.
func (t *turn) pool() *Habits {
	if t.obs.Pool != nil {
		return t.obs.Pool
	}
	return &t.s.Habits
}
