package jobs

import "time"

const (
	// Patience is the wait, in all, after which a job is overdue and goes before all others.
	Patience = 24 * time.Hour
	// OverdueShare of the pool is the most that overdue jobs may have by right, beyond the one
	// that was submitted first. Without it a pool with more work than it can do would soon be
	// handed out in the order of submission, since everybody is overdue.
	OverdueShare = 0.125
	// LossesWorked is how many times its loss an attempt has run before it can be preempted, so
	// that no more than a fifth of a job's GPU time can be lost.
	LossesWorked = 4
)

// Stoker is the policy of the platform; the package documentation explains it.
func Stoker(h *History, s Snapshot) Plan {
	if s.waiting() == 0 && s.free() >= 0 && s.plain() {
		return Plan{}
	}
	return h.turn(&s).plan()
}

// Explain is what [Stoker] would do, and why each of the jobs that then still wait does.
func Explain(h *History, s Snapshot) (Plan, []Waiting) {
	t := h.turn(&s)
	return t.plan(), t.explain()
}

// plain tells whether running jobs are left as they are while nobody waits: none borrows or is elastic.
func (s *Snapshot) plain() bool {
	for i := range s.Jobs {
		if j := &s.Jobs[i]; j.Lent > 0 || len(j.Sizes) > 1 {
			return false
		}
	}
	return true
}

// turn makes a plan.
func (h *History) turn(s *Snapshot) *turn {
	var next soonest
	order := make([]ranked, len(s.Jobs))
	for i := range s.Jobs {
		order[i] = h.rank(s, i, &next)
	}
	s.limitOverdue(order)
	t := newTurn(h, s, s.inOrder(order), next)
	t.settleLoans()
	t.vanished()
	t.trim()
	t.handOut()
	t.redeemIdle()
	t.widen()
	return t
}

// rank is a job's place, and when that changes by itself.
func (h *History) rank(s *Snapshot, i int, next *soonest) ranked {
	j := &s.Jobs[i]
	attained := j.Service(s.Now)
	bin := binOf(attained)
	r := ranked{index: i, score: 2 * h.table(j).level[bin], overdue: j.Waited(s.Now) >= Patience, holds: j.held(s.Now) || j.Resizing > 0, priority: j.Priority}
	if !j.Running() {
		if !r.overdue {
			next.at(s.Now.Add(Patience - j.Waited(s.Now)))
		}
		return r
	}
	r.score-- // before those that wait at the same level
	if safe := j.Started.Add(LossesWorked * j.Loss); s.Now.Before(safe) {
		r.holds = true
		next.at(safe)
	} else if r.holds && j.Preemptible {
		next.at(j.Started.Add(j.MinRuntime))
	}
	if bin < bins-1 {
		next.at(s.Now.Add(time.Duration(bottom(bin+1)*float64(time.Second)) - attained))
	}
	return r
}

// limitOverdue leaves it to the overdue that were submitted first to go before all others.
func (s *Snapshot) limitOverdue(order []ranked) {
	used, most := 0, int(OverdueShare*float64(s.GPUs))
	for i := range order {
		if !order[i].overdue {
			continue
		}
		gpus := s.Jobs[i].GPUs
		if order[i].overdue = gpus <= s.GPUs && (used == 0 || used+gpus <= most); order[i].overdue {
			used += gpus
		}
	}
}
