package scale

import (
	"slices"
	"time"
)

// Constants of the decider that belong to no single rule.
const (
	// IdleAfter is how long nothing may run before a function is called idle. Without it
	// sparse requests would make two decisions each.
	IdleAfter = 5 * time.Second
	// PlaceGrace is how long a replica that was decided on may take to show up in an
	// observation, holding its lease, before its place is counted as not taken.
	PlaceGrace = 10 * time.Second
	// SilentReplace is how long a replica may be out of reach before a further one may be
	// started for what waits: longer than a broker's restart takes, shorter than most
	// callers' patience. The silent one is never stopped for it.
	SilentReplace = 30 * time.Second
)

// Decide says how many replicas of which revision should run, which must go, and why. It
// is a pure function: the same arguments give the same results, and no argument is
// changed. It is called on every new input and no later than the last decision's Next.
//
// Observations and states are taken as they come: absurd numbers are bounded, and a time
// in the future counts as now.
func Decide(spec Spec, s State, obs Observation, now time.Time) (State, Decision) {
	t := newTurn(spec, s, obs, now)
	t.deliberate()
	d := t.decision()
	t.conclude()
	t.s.remember(d)
	return t.s, d
}

// turn is one call of Decide: its inputs, and what the steps find out one after another.
// The state in it is the turn's own copy.
type turn struct {
	spec Spec
	s    State
	obs  Observation
	now  time.Time

	// learn
	pending int // requests that wait
	running int // that run
	busy    int // of them, on replicas that stay
	lost    int // replicas newly known to have ended unasked

	// survey
	fresh    []Replica // of the current revision, that can be counted on
	old      []Replica // of other revisions, still serving
	aside    []Replica // of the current revision, silent for too long
	leaving  []string  // victims named before that are still there
	draining int       // all that are on their way out
	unseen   int       // decided on, not yet observed

	// measure
	service, cold float64 // estimates, seconds
	price         float64 // of a late request, GPU-seconds
	tooLate       float64 // share of starts that take longer than the wait SLO
	coming        int     // requests that will have to begin with those that wait
	backlog       int     // replicas for what waits and runs
	rising        int     // replicas for what comes
	demand        int     // replicas
	keepAlive     time.Duration
	outlook       outlook
	idle          time.Duration // since when nothing waits or runs; 0 while something does
	peak          int           // of what was needed, within ScaleInWindow
	holds         [levelKinds]time.Duration
	heldN         int       // the highest level that is held
	heldUntil     time.Time // when that changes
	racing        int       // replicas started beyond those needed, to have one in time
	warm          int       // replicas for a request that is expected

	// bound and roll
	wish    int // replicas there would be, were it not for a budget or for others
	n       int // replicas there should be, all revisions
	want    int // of the current revision, at this stage of a rollout
	goal    int // of them, what can be had now
	oldKept int
	victims []string // newly named
	limit   Reason   // what kept goal below want, or want below demand
}

func newTurn(spec Spec, s State, obs Observation, now time.Time) turn {
	return turn{spec: spec.sane(), s: s, obs: obs, now: wall(now)}
}

// deliberate takes the steps of the pipeline in the package documentation.
func (t *turn) deliberate() {
	t.s.settle(t.now)
	t.countRequests()
	t.learnUrgency()
	t.learnTimes()
	t.learnHabits()
	t.learnRate()
	t.learnFailures()
	t.survey()
	t.measure()
	t.bound()
	t.roll()
}

// have is how many replicas count, all revisions, on which n is a bound.
func (t *turn) have() int { return len(t.fresh) + t.unseen + len(t.old) }

// haveFresh is how many of the current revision there are or will be without doing anything.
func (t *turn) haveFresh() int { return len(t.fresh) + t.unseen }

// isIdle is whether nothing waits or runs.
func (t *turn) isIdle() bool { return t.demand == 0 && t.running <= 0 }

// decision puts what the steps found into words.
func (t *turn) decision() Decision {
	d := Decision{
		Epoch:    t.s.Epoch,
		At:       t.now,
		Target:   t.goal + len(t.keptAside()),
		Revision: t.spec.Revision,
		Victims:  t.allVictims(),
		Limit:    t.limit,
		Wanted:   t.demand,
		Inputs:   t.inputs(),
		Phase:    t.phase(),
		Next:     t.next(),
	}
	d.Reason = t.reason(d.Victims)
	if t.s.Epoch == 0 || !sameDeed(d, t.s.Last) {
		d.Epoch++
	}
	return d
}

// sameDeed is whether two decisions ask for the same and look the same to people.
func sameDeed(a, b Decision) bool {
	return a.Target == b.Target && a.Revision == b.Revision && slices.Equal(a.Victims, b.Victims) &&
		a.Reason == b.Reason && a.Phase == b.Phase
}

// allVictims are the new victims and those named before that are still there, sorted.
func (t *turn) allVictims() []string {
	all := slices.Concat(t.leaving, t.victims)
	if len(all) == 0 {
		return nil
	}
	return sortedSet(all)
}

// conclude makes the state that after the decision, but for the decision itself.
func (t *turn) conclude() {
	s := &t.s
	if len(t.old) == 0 && s.Recreate <= t.goal {
		s.Recreate = 0
	}
	s.Size = t.size()
	s.Lost = clamp(s.Lost, 0, max(0, s.Size-t.unseen-t.stayingFresh()-t.oldKept))
	s.Aside = nil
	for _, r := range t.keptAside() {
		s.Aside = append(s.Aside, r.ID)
	}
	placing := Placing{Goal: t.goal, Unseen: max(0, t.goal-t.stayingFresh())}
	switch {
	case placing.Unseen == 0:
	case placing.Unseen > t.unseen:
		placing.Until = t.now.Add(PlaceGrace)
	default:
		placing.Until = s.Placing.Until
	}
	s.Placing = placing
	t.follow()
	t.followShortage()
}

// size is what the function will stand at. It has not become smaller by a replica that was
// lost, or drained to make room for its successor, and cannot be replaced right now.
func (t *turn) size() int {
	size := min(t.n, t.oldKept+t.goal)
	if t.s.Recreate > t.goal || t.s.Lost > 0 {
		size = max(size, min(t.n, t.s.Size))
	}
	return size
}

// stayingFresh is how many observed replicas of the current revision are no new victims.
func (t *turn) stayingFresh() int {
	n := 0
	for _, r := range t.fresh {
		if !slices.Contains(t.victims, r.ID) {
			n++
		}
	}
	return n
}

// inputs are the numbers the decision came from.
func (t *turn) inputs() Inputs {
	in := Inputs{
		Pending:      t.pending,
		Coming:       t.coming,
		InFlight:     max(0, t.running),
		Ready:        count(t.fresh, Ready) + count(t.old, Ready),
		Starting:     count(t.fresh, Starting) + count(t.old, Starting),
		Draining:     t.draining,
		Silent:       count(t.fresh, Silent) + count(t.old, Silent) + len(t.aside),
		Aside:        len(t.aside),
		Outdated:     len(t.old),
		FreeGPUs:     max(t.obs.FreeGPUs, UnknownGPUs),
		Slots:        t.spec.Slots,
		Min:          t.spec.Min,
		Max:          t.spec.Max,
		Budget:       t.obs.Budget,
		Share:        t.obs.Share,
		ServiceSec:   t.service,
		ColdStartSec: t.cold,
		IdleSec:      t.idle.Seconds(),
		KeepAliveSec: t.keepAlive.Seconds(),
		WaitSLOSec:   t.spec.Wait.Seconds(),
		ArrivalsSec:  t.s.Rate.PerSec,
		PriceSec:     t.price,
		Racing:       t.racing,
		ExpectFrom:   t.outlook.from.Seconds(),
		ExpectTo:     t.outlook.to.Seconds(),
		ExpectSure:   t.outlook.sure,
		Peak:         t.peak,
		Failures:     t.s.Failures.Count,
		BackoffSec:   max(0, t.s.Failures.Until.Sub(t.now).Seconds()),
	}
	if t.limit == ReasonNoGPU && len(t.obs.Holders) > 0 {
		in.Holders = slices.Clone(t.obs.Holders[:min(len(t.obs.Holders), MaxHolders)])
	}
	return in
}
