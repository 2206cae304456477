package jobs

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrPolicy is returned for a policy that does not exist.
var ErrPolicy = errors.New("no such policy")

// Policy plans. The history is read; who calls it lets it learn from jobs that ended.
type Policy struct {
	Name string
	Plan func(h *History, s Snapshot) Plan
}

// Policies are those that know no run times, stoker's first. The caller owns the slice.
func Policies() []Policy {
	return []Policy{
		{"stoker", Stoker},
		{"fifo", func(_ *History, s Snapshot) Plan { return patient(s, bySubmission, true) }},
		{"fifo-skip", func(_ *History, s Snapshot) Plan { return patient(s, bySubmission, false) }},
		{"las", func(_ *History, s Snapshot) Plan { return las(s) }},
		{"qssf", func(h *History, s Snapshot) Plan {
			return patient(s, func(j *Job) float64 { return h.table(j).mean * float64(j.GPUs) }, false)
		}},
	}
}

// Named finds a policy. The error is ErrPolicy.
func Named(name string) (Policy, error) {
	var names []string
	for _, p := range Policies() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Policy{}, fmt.Errorf("%w: %q; allowed: %s", ErrPolicy, name, strings.Join(names, ", "))
}

func bySubmission(*Job) float64 { return 0 }

// patient hands out what is free, the least score first, and preempts nobody.
func patient(s Snapshot, score func(*Job) float64, strict bool) Plan {
	if s.waiting() == 0 {
		return Plan{}
	}
	order := make([]ranked, len(s.Jobs))
	for i := range s.Jobs {
		order[i] = ranked{index: i, holds: s.Jobs[i].Running()}
		if !order[i].holds {
			order[i].score = score(&s.Jobs[i])
		}
	}
	return Plan{Steps: handOut(&s, order, strict)}
}

// LASThreshold is the attained service, in GPU-seconds, at which a job goes to the second queue of
// las. It is the first limit of Tiresias' own simulator (SymbioticLab/Tiresias, simulator/jobs.py),
// which uses two queues.
const LASThreshold = 3250

// las ranks by attained service, in two queues; in each those that run go before those that wait.
func las(s Snapshot) Plan {
	if s.waiting() == 0 && s.free() >= 0 {
		return Plan{}
	}
	var next soonest
	order := make([]ranked, len(s.Jobs))
	for i := range s.Jobs {
		j := &s.Jobs[i]
		order[i] = ranked{index: i, holds: j.held(s.Now)}
		below := time.Duration(LASThreshold*float64(time.Second)/float64(j.GPUs)) - j.Service(s.Now)
		if below <= 0 {
			order[i].score = 2
		}
		if j.Running() {
			order[i].score-- // in its queue who runs goes on
			if below > 0 {
				next.at(s.Now.Add(below))
			}
		}
		if order[i].holds && j.Preemptible {
			next.at(j.Started.Add(j.MinRuntime))
		}
	}
	return Plan{Steps: handOut(&s, order, false), Next: next.Time}
}

// soonest is the earliest of some moments; zero: there is none.
type soonest struct{ time.Time }

func (n *soonest) at(t time.Time) {
	if n.IsZero() || t.Before(n.Time) {
		n.Time = t
	}
}
