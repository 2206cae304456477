package scale

import (
	"cmp"
	"slices"
	"time"

	"stoker.dev/stoker/functions"
)

// Constants of sharing GPUs that are short.
const (
	// ShareTurn is how long a function may go without any replica while others of its class
	// have some, before it comes ahead of them: several cold starts, so that taking turns
	// does not eat up what is shared.
	ShareTurn = 2 * time.Minute
	// urgencyMemory is how long a function keeps the class of its most urgent request: what
	// is taken at once never seems to wait, and a class that flickers would move replicas.
	urgencyMemory = time.Minute
)

// classWeights are how many GPUs a function of a class gets for each of one of the next less
// urgent class, once everybody has the minimum of its manifest and one replica.
var classWeights = map[functions.Class]int{functions.Interactive: 4, functions.Standard: 2, functions.Batch: 1}

// Claim is what one function asks of GPUs for which several compete.
type Claim struct {
	Function string          `json:"function"` // a name of its own
	Class    functions.Class `json:"class"`    // of the most urgent request that waits, or waited lately
	Weight   int             `json:"weight"`   // of the manifest; less than 1 is 1
	GPUs     int             `json:"gpus"`     // per replica, 1 or more
	Min      int             `json:"min"`      // replicas of the manifest's minimum
	Demand   int             `json:"demand"`   // replicas needed now, the minimum included
	Have     int             `json:"have"`     // replicas with GPUs, those on their way out not counted
	Silent   int             `json:"silent"`   // of them out of reach: they stay, whatever is due to others
	Short    time.Duration   `json:"short"`    // for how long it has wanted a replica and had none
}

// Shares is how many replicas each claim may have of so many GPUs, in the order of the claims;
// nil while nobody goes short. What is out of reach stays. Then, as far as GPUs go, each gets the
// minimum of its manifest, then one replica if it needs any, then by the weight of its class times
// its own what it needs (weighted max-min fairness: nobody gets more as long as somebody with
// less for its weight could use it), and what is left keeps what is held warm. The more urgent
// class comes first; of one class who has gone without for longest, in steps of ShareTurn, then
// who has replicas already.
//
// GPUs are taken to be alike and to lie together: who asks for others than the rest, or for
// several on one node, may find less than this says.
func Shares(gpus int, claims []Claim) []int {
	s := sharing{left: max(0, gpus), claims: make([]Claim, len(claims)), given: make([]int, len(claims))}
	for i, c := range claims {
		s.claims[i] = c.sane()
	}
	if !s.short() {
		return nil
	}
	s.order = s.inOrder()
	s.topUp(func(c Claim) int { return c.Silent })
	s.topUp(func(c Claim) int { return min(c.Min, c.Demand) })
	s.topUp(func(c Claim) int { return min(1, c.Demand) })
	s.fill()
	s.topUp(func(c Claim) int { return c.Have })
	return s.given
}

// sharing is GPUs being given out.
type sharing struct {
	claims []Claim
	order  []int // who comes first
	given  []int // replicas, by claim
	left   int   // GPUs
}

// sane bounds what nobody checked.
func (c Claim) sane() Claim {
	c.Weight = clamp(c.Weight, 1, functions.MaxWeight)
	c.GPUs = clamp(c.GPUs, 1, MaxReplicas)
	c.Have = clamp(c.Have, 0, MaxReplicas)
	c.Silent = clamp(c.Silent, 0, c.Have)
	c.Demand = clamp(c.Demand, 0, MaxReplicas)
	c.Min = clamp(c.Min, 0, MaxReplicas)
	if classWeights[c.Class] == 0 {
		c.Class = functions.Standard
	}
	return c
}

// short is whether somebody needs more than it has, and the GPUs do not suffice for that
// beside what all have.
func (s *sharing) short() bool {
	all, more := 0, false
	for _, c := range s.claims {
		all += max(c.Demand, c.Have) * c.GPUs
		more = more || c.Demand > c.Have
	}
	return more && all > s.left
}

// inOrder is who comes first when not all can.
func (s *sharing) inOrder() []int {
	order := make([]int, len(s.claims))
	for i := range order {
		order[i] = i
	}
	classes := functions.Classes()
	slices.SortFunc(order, func(i, j int) int {
		a, b := s.claims[i], s.claims[j]
		return cmp.Or(
			cmp.Compare(slices.Index(classes, a.Class), slices.Index(classes, b.Class)),
			cmp.Compare(b.Short/ShareTurn, a.Short/ShareTurn),
			cmp.Compare(min(1, b.Have), min(1, a.Have)),
			cmp.Compare(a.Function, b.Function),
		)
	})
	return order
}

// topUp gives each claim in turn up to so many replicas, as far as GPUs go.
func (s *sharing) topUp(to func(Claim) int) {
	for _, i := range s.order {
		c := s.claims[i]
		n := clamp(to(c)-s.given[i], 0, s.left/c.GPUs)
		s.given[i] += n
		s.left -= n * c.GPUs
	}
}

// fill gives one replica after another to who has the least for its weight.
func (s *sharing) fill() {
	for {
		best := -1
		for _, i := range s.order {
			c := s.claims[i]
			if s.given[i] < c.Demand && c.GPUs <= s.left && (best < 0 || s.cost(i) < s.cost(best)) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		s.given[best]++
		s.left -= s.claims[best].GPUs
	}
}

// cost is what a claim would have for its weight with one replica more.
func (s *sharing) cost(i int) float64 {
	c := s.claims[i]
	return float64((s.given[i]+1)*c.GPUs) / float64(classWeights[c.Class]*c.Weight)
}

// ClaimOf is the claim of a function that was decided on, as far as its state tells; Have and
// Silent are the caller's, from what it observes.
func ClaimOf(function string, spec Spec, s State, now time.Time) Claim {
	spec = spec.sane()
	c := Claim{Function: function, Class: s.Urgency.Class, Weight: spec.Weight, GPUs: spec.GPUs, Min: spec.Min, Demand: clamp(s.Need, spec.Min, spec.Max)}
	switch {
	case spec.Paused || spec.Deleting, s.Last.Limit == ReasonBackoff, s.Last.Limit == ReasonFailing:
		c.Demand = 0 // it could not use them now
	case spec.Pinned != nil:
		c.Demand = clamp(*spec.Pinned, 0, spec.Max)
	}
	if b := s.Last.Inputs.Budget; b != nil {
		c.Demand = clamp(c.Demand, 0, max(0, *b))
	}
	if !s.ShortSince.IsZero() {
		c.Short = max(0, now.Sub(s.ShortSince))
	}
	return c
}

// Urgency is the class of the most urgent request that waited lately.
type Urgency struct {
	Class functions.Class `json:"class,omitempty"`
	At    time.Time       `json:"at,omitzero"` // when it was last seen
}

// learnUrgency notes the most urgent class that waits.
func (t *turn) learnUrgency() {
	u, classes := &t.s.Urgency, functions.Classes()
	for i, c := range classes {
		if t.obs.Pending[c] <= 0 {
			continue
		}
		known := slices.Index(classes, u.Class)
		if known < 0 || i <= known || t.now.Sub(u.At) >= urgencyMemory {
			*u = Urgency{Class: c, At: t.now}
		}
		return
	}
}

// shareBinds is whether what others are due keeps the function below what it would have.
func (t *turn) shareBinds() bool {
	s := t.obs.Share
	return s != nil && t.n == max(0, *s) && t.wish > t.n && (t.obs.Budget == nil || *s < *t.obs.Budget)
}

// isShort is whether the function wants a replica and has none for want of GPUs.
func (t *turn) isShort() bool {
	return t.goal+t.oldKept == 0 && t.limit.ShortOfGPUs()
}

// followShortage notes since when the function has wanted a replica and had none.
func (t *turn) followShortage() {
	switch {
	case !t.isShort():
		t.s.ShortSince = time.Time{}
	case t.s.ShortSince.IsZero():
		t.s.ShortSince = t.now
	}
}
