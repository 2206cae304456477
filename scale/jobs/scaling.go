package jobs

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const (
	// GoalMargin is how much faster than its goal asks a job is sized: what was measured varies.
	GoalMargin = 0.1
	// LeastMeasured is for how long a size must have run before its speed says anything: the first
	// steps load data and compile.
	LeastMeasured = time.Minute
	// fade is what earlier measurements of a size keep of their weight at the next one.
	fade = 0.8
)

// Scaling is how fast a job was measured to train, by its ranks. It is plain data; the zero value
// knows nothing and is ready.
type Scaling struct {
	Speeds []Speed `json:"speeds,omitempty"` // by ranks, ascending
}

// Speed is what was measured with so many ranks.
type Speed struct {
	Ranks   int     `json:"ranks"`
	Steps   float64 `json:"steps"`
	Seconds float64 `json:"seconds"`
}

func (v Speed) rate() float64 { return v.Steps / v.Seconds }

// Learn takes in steps that were trained in a time with so many ranks. A time below LeastMeasured
// says nothing.
func (s *Scaling) Learn(ranks int, steps float64, took time.Duration) {
	if took < LeastMeasured || ranks < 1 || !(steps > 0) || math.IsInf(steps, 0) {
		return
	}
	i, found := slices.BinarySearchFunc(s.Speeds, ranks, func(v Speed, n int) int { return v.Ranks - n })
	s.Speeds = slices.Clone(s.Speeds)
	if !found {
		s.Speeds = slices.Insert(s.Speeds, i, Speed{Ranks: ranks})
	}
	v := &s.Speeds[i]
	v.Steps, v.Seconds = v.Steps*fade+steps, v.Seconds*fade+took.Seconds()
}

// Basis is what a speed is told from.
type Basis string

// What a speed is told from.
const (
	Measured Basis = "measured" // with this very number of ranks
	Fitted   Basis = "fitted"   // from two sizes or more, by a part of each step that ranks share and one that they do not (Amdahl)
	Linear   Basis = "linear"   // from one other size, as if twice the ranks were twice as fast: it will be slower if it is larger
	Unknown  Basis = "unknown"  // nothing was measured
)

// Rate is how many steps a second so many ranks train, and what that is told from.
func (s *Scaling) Rate(ranks int) (float64, Basis) {
	if i := slices.IndexFunc(s.Speeds, func(v Speed) bool { return v.Ranks == ranks }); i >= 0 {
		return s.Speeds[i].rate(), Measured
	}
	switch len(s.Speeds) {
	case 0:
		return 0, Unknown
	case 1:
		return s.Speeds[0].rate() * float64(ranks) / float64(s.Speeds[0].Ranks), Linear
	}
	fixed, shared := s.fit()
	return 1 / (fixed + shared/float64(ranks)), Fitted
}

// fit is the time of a step that no rank can take off another, and that which they share, seconds:
// least squares over the time of a step, by how long each size was measured. Neither is below 0.
func (s *Scaling) fit() (fixed, shared float64) {
	var w, x, y, xx, xy float64
	for _, v := range s.Speeds {
		a, b := 1/float64(v.Ranks), 1/v.rate()
		w, x, y, xx, xy = w+v.Seconds, x+v.Seconds*a, y+v.Seconds*b, xx+v.Seconds*a*a, xy+v.Seconds*a*b
	}
	shared = (w*xy - x*y) / (w*xx - x*x)
	fixed = (y - shared*x) / w
	switch {
	case shared < 0: // more ranks were slower
		return y / w, 0
	case fixed < 0: // faster than shared evenly: as if it were
		return 0, xy / xx
	}
	return fixed, shared
}

// Wish is what a job is to be sized for.
type Wish struct {
	Sizes   []int         // numbers of ranks it may have, smallest first, at least one
	Now     int           // ranks it has; 0: it does not run
	Left    float64       // steps that are still to be trained; 0: not known
	By      time.Time     // when it is to be done; zero: at any time
	Pace    float64       // steps a second that it is to train at least; 0: any
	Restart time.Duration // time that a change of size costs it
	// Afford is how many rank-seconds it may still use; negative: any number.
	Afford float64
}

// Choice is a number of ranks, and why.
type Choice struct {
	Ranks  int          `json:"ranks"`
	Reason ChoiceReason `json:"reason"`
	Basis  Basis        `json:"basis"`
	Done   time.Time    `json:"done,omitzero"` // when it is expected to be done then; zero: nobody knows
}

// ChoiceReason is why a size was chosen.
type ChoiceReason string

// Why a size is chosen.
const (
	ChoiceUnmeasured ChoiceReason = "unmeasured" // nothing is known of its speed or of what is left: as it is, or its smallest size
	ChoiceGoal       ChoiceReason = "goal"       // the smallest size that is expected to reach the goal
	ChoiceKept       ChoiceReason = "kept"       // the size it has reaches the goal, and another is not worth a restart
	ChoiceLate       ChoiceReason = "late"       // none reaches the goal; this is the fastest
	ChoiceCost       ChoiceReason = "cost"       // none reaches it for what the job may cost; this is the fastest of those that finish for it
	ChoiceTooDear    ChoiceReason = "too-dear"   // none finishes for what the job may cost; this gets furthest for it
)

// choiceMeanings is the closed set, with a sentence for people.
var choiceMeanings = []struct {
	Reason  ChoiceReason
	Meaning string
}{
	{ChoiceUnmeasured, "its speed, or what is left, is not known yet: it begins with its smallest size, and is measured"},
	{ChoiceGoal, "the smallest size that is expected to reach the goal"},
	{ChoiceKept, "the size it has reaches the goal, and another one is not worth a restart"},
	{ChoiceLate, "no size is expected to reach the goal; this is the fastest, and the goal will be missed"},
	{ChoiceCost, "within maxCost none reaches the goal; this is the fastest that finishes, and the goal will be missed"},
	{ChoiceTooDear, "within maxCost none finishes; this gets furthest, and the job will end unfinished, its work saved"},
}

// ChoiceReasons lists every reason. The caller owns the slice.
func ChoiceReasons() []ChoiceReason {
	out := make([]ChoiceReason, 0, len(choiceMeanings))
	for _, m := range choiceMeanings {
		out = append(out, m.Reason)
	}
	return out
}

// Meaning is one sentence for people; empty for a reason outside the set.
func (r ChoiceReason) Meaning() string {
	for _, m := range choiceMeanings {
		if m.Reason == r {
			return m.Meaning
		}
	}
	return ""
}

// Misses tells whether the goal is expected to be missed.
func (r ChoiceReason) Misses() bool {
	return r == ChoiceLate || r == ChoiceCost || r == ChoiceTooDear
}

// known tells whether there is enough to choose by.
func (s *Scaling) known(w Wish) bool { return len(s.Speeds) > 0 && (w.Left > 0 || w.Pace > 0) }

// Choose picks the number of ranks by what was measured. Of sizes nobody has measured it believes
// the best that is possible ([Linear]), so that one that is too small is found out by trying it.
func (s *Scaling) Choose(w Wish, now time.Time) Choice {
	if !s.known(w) {
		c := Choice{Ranks: w.Now, Reason: ChoiceUnmeasured, Basis: Unknown}
		if !slices.Contains(w.Sizes, w.Now) {
			c.Ranks = w.Sizes[0]
		}
		return c
	}
	var all []outlook
	for _, n := range w.Sizes {
		all = append(all, s.outlook(w, n, now))
	}
	cheap := slices.DeleteFunc(slices.Clone(all), func(o outlook) bool { return o.dear })
	if len(cheap) == 0 {
		// To seven digits, so that of sizes that get as far the smallest is chosen.
		best := slices.MinFunc(all, func(a, b outlook) int { return cmp.Compare(float32(a.work), float32(b.work)) })
		return best.choice(ChoiceTooDear)
	}
	if i := slices.IndexFunc(cheap, func(o outlook) bool { return o.inTime }); i >= 0 {
		if k := slices.IndexFunc(cheap, func(o outlook) bool { return o.n == w.Now && o.barely }); k >= 0 && !worthChanging(w, cheap[i], cheap[k]) {
			return cheap[k].choice(ChoiceKept)
		}
		return cheap[i].choice(ChoiceGoal)
	}
	why := ChoiceLate
	if slices.ContainsFunc(all, func(o outlook) bool { return o.inTime }) {
		why = ChoiceCost
	}
	fastest := slices.MinFunc(cheap, func(a, b outlook) int {
		return cmp.Or(a.done.Compare(b.done), cmp.Compare(float32(b.rate), float32(a.rate)))
	})
	return fastest.choice(why)
}

// outlook is what is expected of a size.
type outlook struct {
	n      int
	rate   float64   // steps a second
	done   time.Time // zero: what is left is not known
	work   float64   // rank-seconds until then
	inTime bool      // it reaches the goal, with the margin
	barely bool      // it reaches the goal
	dear   bool
	basis  Basis
}

// longest bounds what is expected, so that moments stay moments: a century.
const longest = 100 * 365 * 24 * time.Hour

func (s *Scaling) outlook(w Wish, n int, now time.Time) outlook {
	o := outlook{n: n}
	o.rate, o.basis = s.Rate(n)
	sec := min(w.Left/o.rate, longest.Seconds())
	if n != w.Now {
		sec += w.Restart.Seconds()
	}
	if w.Left > 0 {
		o.work, o.done = sec*float64(n), now.Add(time.Duration(sec*float64(time.Second)))
	}
	within := func(margin float64) bool {
		inTime := w.By.IsZero() || w.Left <= 0 || sec*(1+margin) <= w.By.Sub(now).Seconds()
		return inTime && o.rate >= w.Pace*(1+margin)
	}
	o.inTime, o.barely = within(GoalMargin), within(0)
	o.dear = w.Afford >= 0 && o.work > w.Afford
	return o
}

func (o outlook) choice(why ChoiceReason) Choice {
	return Choice{Ranks: o.n, Reason: why, Basis: o.basis, Done: o.done}
}

// worthChanging tells whether another size that reaches the goal is cheaper by more than the
// restarts it takes.
func worthChanging(w Wish, to, from outlook) bool {
	return from.work-to.work > LossesWorked*w.Restart.Seconds()*float64(from.n)
}
