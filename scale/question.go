package scale

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"stoker.dev/stoker/functions"
)

// Question is everything that a decision is made of: kept, it can be decided anew, and asked what
// would be if one thing were different.
type Question struct {
	Spec        Spec        `json:"spec"`
	State       State       `json:"state"`
	Observation Observation `json:"observation"`
	Now         time.Time   `json:"now"`
}

// Answer is what would be decided, and why.
type Answer struct {
	Decision Decision `json:"decision"`
	Lines    []Line   `json:"lines"`
	State    State    `json:"state"` // with which the next question goes on
}

// Answer decides. It changes nothing.
func (q Question) Answer() Answer {
	lines := Explain(q.Spec, q.State, q.Observation, q.Now)
	after, d := Decide(q.Spec, q.State, q.Observation, q.Now)
	return Answer{Decision: d, Lines: lines, State: after}
}

// Check returns what in a question makes no sense, each with its path, its value and what is
// allowed. [Decide] would bound it; somebody who wrote it by hand should know.
func (q Question) Check() []error {
	c := &checker{}
	s := q.Spec
	c.atLeast("spec.min", s.Min, 0)
	c.atLeast("spec.max", s.Max, max(1, s.Min))
	c.atLeast("spec.slots", s.Slots, 1)
	c.atLeast("spec.gpus", s.GPUs, 0)
	c.atLeast("spec.weight", s.Weight, 0)
	c.that(s.Wait >= 0, "spec.wait", s.Wait, "a duration in nanoseconds, 0 or more")
	if s.Pinned != nil {
		c.atLeast("spec.pinned", *s.Pinned, 0)
	}
	c.observation(q.Observation)
	return c.errs
}

// checker collects what is wrong.
type checker struct{ errs []error }

func (c *checker) that(ok bool, path string, value any, allowed string) {
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("%s: %v: allowed: %s", path, value, allowed))
	}
}

func (c *checker) atLeast(path string, value, least int) {
	c.that(value >= least, path, value, fmt.Sprintf("a whole number, %d or more", least))
}

func (c *checker) observation(o Observation) {
	const at = "observation."
	for _, class := range slices.Sorted(maps.Keys(o.Pending)) {
		c.that(slices.Contains(functions.Classes(), class), at+"pending", fmt.Sprintf("%q", class), "interactive, standard and batch")
		c.atLeast(at+"pending."+string(class), o.Pending[class], 0)
	}
	c.atLeast(at+"inFlight", o.InFlight, 0)
	c.atLeast(at+"refused", o.Refused, 0)
	c.that(o.FreeGPUs >= UnknownGPUs, at+"freeGPUs", o.FreeGPUs, "a whole number, 0 or more; -1: not known")
	c.that(o.ServiceSec >= 0, at+"serviceSec", o.ServiceSec, "seconds, 0 or more")
	if o.Budget != nil {
		c.atLeast(at+"budget", *o.Budget, 0)
	}
	if o.Share != nil {
		c.atLeast(at+"share", *o.Share, 0)
	}
	for i, d := range o.ColdStarts {
		c.that(d >= 0, fmt.Sprintf("%scoldStarts[%d]", at, i), d, "a duration in nanoseconds, 0 or more")
	}
	first := map[string]int{}
	for i, r := range o.Replicas {
		path := fmt.Sprintf("%sreplicas[%d]", at, i)
		c.replica(path, r)
		if j, twice := first[r.ID]; twice {
			c.that(false, path+".id", fmt.Sprintf("%q", r.ID), fmt.Sprintf("a name of its own; replicas[%d] has it", j))
		}
		first[r.ID] = i
	}
	for i, x := range o.Exits {
		c.that(x.ID != "", fmt.Sprintf("%sexits[%d].id", at, i), `""`, "the replica's name")
	}
}

var phases = []ReplicaPhase{Starting, Ready, Draining, Silent, Gone}

func (c *checker) replica(path string, r Replica) {
	c.that(r.ID != "", path+".id", `""`, "a name")
	c.that(slices.Contains(phases, r.Phase), path+".phase", fmt.Sprintf("%q", r.Phase), "starting, ready, draining, silent or gone")
	c.atLeast(path+".inFlight", r.InFlight, 0)
}
