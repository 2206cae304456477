package simulate

import (
	"math"
	"time"

	"stoker.dev/stoker/scale"
)

// never is a moment that does not come.
const never = time.Duration(math.MaxInt64)

// Family is a policy with its constants: how it is called, how it is made for a function,
// and when it looks.
type Family struct {
	Name string
	// New makes the policy of one function; it may keep what it learns.
	New func(function string, s Settings) Policy
	// Shared makes New for one world, for policies whose functions learn from each other;
	// nil: they do not.
	Shared func() func(function string, s Settings) Policy
	// Beat is the pace at which a change that nobody waits for is looked at, on whole
	// multiples of it; 0 is at once.
	Beat time.Duration
	// Push is whether an arrival that finds no ready replica is looked at at once.
	Push bool
	// Always is how many replicas of a function are ready when the trace begins; nil: none.
	Always func(function string) int
}

// Policy decides for one function.
type Policy interface {
	// Decide says how many replicas there should be. The view is the callee's until it
	// returns.
	Decide(v *View) Order
}

// Order is what a policy wants.
type Order struct {
	Target  int           // replicas that are starting or ready and are to stay
	Victims []string      // replicas to drain, by ID; without names those that lose least go
	Next    time.Duration // look again no later than this; 0: only when something changes
	Short   bool          // there would be more, were GPUs free: look again when some come free
	Lacks   int           // so many more
	Look    []string      // other functions that are to look again at once
}

// View is what a policy may know. Counts "since the last call" are handed over once.
type View struct {
	Now      time.Duration
	Queued   int // requests that wait
	InFlight int // that run
	Ready    int // replicas that take requests
	Starting int
	Draining int

	Arrived    int           // since the last call
	Ended      int           // since the last call
	Late       int           // that began after the objective's wait, since the last call
	Service    time.Duration // theirs, summed
	Peak       int           // most requests waiting and running at a time since the last call
	Area       float64       // integral of waiting and running requests over time, request-nanoseconds
	ColdStarts []time.Duration
	FreeGPUs   int // scale.UnknownGPUs where the pool has no bound
	Pool       int // GPUs there are, held or free; 0: no bound

	f *function
}

// Load is how many requests wait or run.
func (v *View) Load() int { return v.Queued + v.InFlight }

// Replicas appends the replicas, sorted by ID, as production observes them.
func (v *View) Replicas(to []scale.Replica) []scale.Replica {
	for _, r := range v.f.replicas {
		to = append(to, scale.Replica{
			ID: r.id, Revision: revision, Phase: r.phase, Since: moment(r.since), InFlight: r.inFlight, Served: r.served,
		})
	}
	return to
}

// revision is the only one there is.
const revision = "simulated"

// epoch is the trace's zero, for policies that speak of moments. Any would do; this one is
// a midnight and a Monday.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func moment(at time.Duration) time.Time { return epoch.Add(at) }

// Settings are what a policy is told of the function it decides for.
type Settings struct {
	scale.Spec
	ColdStart ColdStart
}

// nextTick is the next whole multiple of a period after a moment.
func nextTick(now, period time.Duration) time.Duration { return now - now%period + period }

// slotsFor is how many replicas have so many slots.
func slotsFor(load, slots int) int { return (load + slots - 1) / slots }
