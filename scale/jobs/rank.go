package jobs

import (
	"cmp"
	"slices"
)

// ranked is a job's place in the order in which a policy hands out GPUs.
type ranked struct {
	index   int // in the snapshot
	score   float64
	overdue bool // goes first, whatever its score
	holds   bool // its GPUs are not given to anybody else

	priority int // stoker's alone
}

// before is the order of ranked jobs: those that cannot be moved, those that are overdue, and
// then by priority and by score. Ties go to whoever was submitted first, and so do overdue jobs.
func before(a, b ranked) int {
	switch {
	case a.holds != b.holds:
		return first(a.holds)
	case a.overdue != b.overdue:
		return first(a.overdue)
	case !a.overdue && a.priority != b.priority:
		return cmp.Compare(b.priority, a.priority)
	case !a.overdue && a.score != b.score:
		return cmp.Compare(a.score, b.score)
	}
	return cmp.Compare(a.index, b.index)
}

func first(yes bool) int {
	if yes {
		return -1
	}
	return 1
}

// handOut gives GPUs to jobs in their order and returns the steps that lead there. Strict: nobody
// passes a job that does not fit. Nobody ever passes one that is overdue: attempts that have just
// begun cannot be preempted, and if others were begun meanwhile a large gang would never fit.
func handOut(s *Snapshot, order []ranked, strict bool) []Step {
	slices.SortFunc(order, before)
	free, blocked := s.GPUs, false // blocked: somebody ahead waits
	var stop, start []Step
	for _, o := range order {
		j := &s.Jobs[o.index]
		fits := j.GPUs <= free
		switch {
		case o.holds, fits && (j.Running() || !strict || !blocked):
			free -= j.GPUs
			if !j.Running() {
				start = append(start, s.step(Admit, o, admission(o, blocked)))
			}
		case j.Running():
			stop = append(stop, s.step(Preempt, o, ReasonOutranked))
		default:
			blocked = true
			strict = strict || o.overdue
		}
	}
	return s.number(stop, start)
}

// admission is why a job is admitted, unless others make room for it.
func admission(o ranked, blocked bool) Reason {
	switch {
	case o.overdue:
		return ReasonOverdue
	case blocked:
		return ReasonPass
	}
	return ReasonTurn
}

func (s *Snapshot) step(a Action, o ranked, why Reason) Step {
	j := &s.Jobs[o.index]
	return Step{Action: a, Index: o.index, Job: j.ID, Reason: why, Inputs: Inputs{
		GPUs: j.GPUs, Score: o.score, Attained: j.Service(s.Now), Waited: j.Waited(s.Now),
	}}
}

// number tells each step how many GPUs are free before it, and names admissions for which there
// would have been no room without the preemptions.
func (s *Snapshot) number(stop, start []Step) []Step {
	free := s.free()
	unforced := free
	for i := range stop {
		stop[i].Inputs.Free = free
		free += stop[i].Inputs.GPUs
	}
	for i := range start {
		in := &start[i].Inputs
		in.Free = free
		free -= in.GPUs
		unforced -= in.GPUs
		if unforced < 0 && start[i].Reason != ReasonOverdue {
			start[i].Reason = ReasonAhead
		}
	}
	return append(stop, start...)
}

// free is how many of the own GPUs nobody holds; below 0 where GPUs have vanished.
func (s *Snapshot) free() int {
	n := s.GPUs
	for i := range s.Jobs {
		if s.Jobs[i].Running() {
			n -= s.Jobs[i].GPUs - s.Jobs[i].Lent
		}
	}
	return n
}

// waiting is how many jobs wait.
func (s *Snapshot) waiting() int {
	n := 0
	for i := range s.Jobs {
		if !s.Jobs[i].Running() {
			n++
		}
	}
	return n
}

// Ranked hands out GPUs by a score, the least first, and preempts whoever does not fit behind
// those with less. It is what policies are made of that know more than a snapshot tells.
func Ranked(s Snapshot, score func(index int) float64) Plan {
	if s.waiting() == 0 && s.free() >= 0 {
		return Plan{}
	}
	order := make([]ranked, len(s.Jobs))
	for i := range s.Jobs {
		order[i] = ranked{index: i, score: score(i), holds: s.Jobs[i].held(s.Now)}
	}
	return Plan{Steps: handOut(&s, order, false)}
}
