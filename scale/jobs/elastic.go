package jobs

import (
	"cmp"
	"slices"
)

// widen gives what is left over to elastic jobs: first to those that are admitted by this plan, which
// costs nothing, and then to those that run, where the time it saves them is worth a restart.
func (t *turn) widen() {
	if t.reserved != nil {
		return
	}
	for i := range t.start {
		if st := &t.start[i]; st.Action == Admit && !st.Later && st.Lent == 0 && st.Reason != ReasonBack {
			t.widenSeat(st)
		}
	}
	for i := range t.order {
		if len(t.wait) == 0 {
			t.grow(&t.order[i])
		}
	}
}

// trim has running jobs come back with fewer ranks that have more than their goal asks for. Whoever
// waits gets what they give up.
func (t *turn) trim() {
	for i := range t.order {
		o := &t.order[i]
		j := &t.s.Jobs[o.index]
		if j.Wish == 0 || j.ranks() <= j.Wish || !slices.Contains(j.Sizes, j.Wish) || !t.resizable(o) {
			continue
		}
		t.give(&t.soon, o.index, j.ranks()-j.Wish)
		t.dismiss(o, Step{Action: Resize, Reason: ReasonGoal}, j.Wish)
	}
}

// resizable tells whether a running job may come back with another size now. One that has just begun may
// not: a restart has to be worked for first. Nor may one on a loan, which nobody may have for it once it is back.
func (t *turn) resizable(o *standing) bool {
	j := &t.s.Jobs[o.index]
	if !j.Running() || t.gone[o.index] || t.loans[o.index] > 0 || len(j.Sizes) == 0 || j.freeAt().IsZero() {
		return false
	}
	if at := j.freeAt(); at.After(t.s.Now) {
		t.next.at(at)
		return false
	}
	return true
}

// larger are the sizes of a job beyond so many ranks that it is to have, the largest first.
func (j *Job) larger(ranks int) (out []int) {
	for i := len(j.Sizes) - 1; i >= 0 && j.Sizes[i] > ranks; i-- {
		if j.Wish == 0 || j.Sizes[i] <= j.Wish {
			out = append(out, j.Sizes[i])
		}
	}
	return out
}

// widenSeat admits a job with more ranks than its smallest gang has.
func (t *turn) widenSeat(st *seat) {
	j := &t.s.Jobs[st.Index]
	per := j.per()
	for _, n := range j.larger(st.Ranks) {
		trial := t.free.clone()
		trial.spend(st.of.queue, -st.Ranks*per)
		trial.move(st.where, per)
		where, ok := t.fits(&trial, st.of, n, 0)
		if !ok {
			continue
		}
		for _, r := range []*room{&t.free, &t.soon} {
			r.spend(st.of.queue, (n-st.Ranks)*per)
			r.move(st.where, per)
			r.move(where, -per)
		}
		st.Ranks, st.where, st.Nodes, st.Inputs.GPUs = n, where, t.s.names(where), n*per
		return
	}
}

// grow has a running job come back with more ranks.
func (t *turn) grow(o *standing) {
	j := &t.s.Jobs[o.index]
	if !t.resizable(o) {
		return
	}
	rest := cmp.Or(j.Rest.Seconds(), t.h.table(j).rest(j.Service(t.s.Now)))
	for _, n := range j.larger(j.ranks()) {
		trial := t.free.clone()
		t.give(&trial, o.index, j.ranks())
		where, ok := t.fits(&trial, o, n, 0)
		saved := rest * (1 - float64(j.ranks())/float64(n))
		worth := n == j.Wish || saved > LossesWorked*j.Loss.Seconds() // what its goal asks for was weighed already
		if !ok || !worth {
			continue
		}
		why := ReasonIdle
		if j.Wish > 0 {
			why = ReasonGoal
		}
		st := t.s.step(Resize, o.ranked, why)
		st.Ranks, st.Nodes, st.Inputs.GPUs = n, t.s.names(where), n*j.per()
		t.gone[o.index] = true
		for _, r := range []*room{&t.free, &t.soon} {
			t.give(r, o.index, j.ranks())
			r.spend(o.queue, n*j.per())
			r.move(where, -j.per())
		}
		t.stop = append(t.stop, st)
		return
	}
}

// elastic tells whether a running job might grow later.
func (t *turn) elastic() bool {
	for i := range t.s.Jobs {
		if j := &t.s.Jobs[i]; j.Running() && len(j.larger(j.ranks())) > 0 {
			return true
		}
	}
	return false
}
