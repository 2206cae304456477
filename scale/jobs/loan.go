package jobs

import (
	"slices"

	"stoker.dev/stoker/functions"
)

// lend admits a job on loans for what it lacks, if they last for long enough to be worth it.
func (t *turn) lend(o *standing) bool {
	j := &t.s.Jobs[o.index]
	gpus := j.least() * j.per()
	lent := gpus - max(0, min(t.free.own, t.headroom(o)))
	if j.Borrow == functions.UseOnly {
		lent = gpus
	}
	if lent <= 0 || !t.s.Lender.trusts(j) {
		return false
	}
	until := t.s.Lender.until(t.out + lent)
	if until.Sub(t.s.Now) < worth(j) || !until.After(t.s.Now) {
		return false
	}
	where, ok := t.fits(&t.free, o, j.least(), lent)
	if !ok {
		return false
	}
	t.take(o, where, j.least(), Step{Action: Admit, Reason: ReasonLoan, Lent: lent, Until: until})
	t.out += lent
	t.lent += lent
	t.next.at(until.Add(-j.Drain))
	return true
}

// headroom is how many GPUs the queue of a job may take by right.
func (t *turn) headroom(o *standing) int {
	if t.free.quota == nil {
		return t.free.own
	}
	return t.free.quota[o.queue]
}

// settleLoans gives the lender what it wants back, and extends the loans that are due if it can wait.
// Own GPUs that are free take the place of lent ones before anybody has to leave.
func (t *turn) settleLoans() {
	borrowers := t.borrowers()
	for _, o := range borrowers {
		if t.lent > t.s.Lender.most(t.s.Now) {
			t.redeem(o)
		}
	}
	for _, o := range borrowers {
		if t.lent > t.s.Lender.most(t.s.Now) && t.loans[o.index] > 0 {
			t.recall(o, ReasonWanted)
		}
	}
	for _, o := range borrowers {
		if !t.gone[o.index] && t.loans[o.index] > 0 {
			t.renew(o)
		}
	}
}

// borrowers are the jobs on loans, in the order in which they make room.
func (t *turn) borrowers() (out []*standing) {
	for i := len(t.order) - 1; i >= 0; i-- {
		if o := &t.order[i]; t.loans[o.index] > 0 && !t.gone[o.index] {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b *standing) int { return t.losesLess(a.index, b.index) })
	return out
}

// recall wants the GPUs of a job back, or of an elastic one a part, until its time to give back is over.
func (t *turn) recall(o *standing, why Reason) {
	j := &t.s.Jobs[o.index]
	excess := t.loans[o.index]
	if why == ReasonWanted {
		excess = min(excess, t.lent-t.s.Lender.most(t.s.Now))
	}
	ranks := 0
	for _, n := range j.Sizes {
		if n < j.ranks() && (j.ranks()-n)*j.per() >= excess {
			ranks = n
		}
	}
	t.give(&t.soon, o.index, j.ranks()-ranks)
	t.dismiss(o, Step{Action: Recall, Reason: why, KillAt: t.s.Now.Add(j.GiveBack)}, ranks)
}

// redeem ends a loan without anybody having to leave: own GPUs are free.
func (t *turn) redeem(o *standing) {
	lent := t.loans[o.index]
	if t.s.Jobs[o.index].Borrow == functions.UseOnly || lent == 0 || t.gone[o.index] || lent > min(t.free.own, t.headroom(o)) {
		return
	}
	t.free.spend(o.queue, lent)
	t.soon.spend(o.queue, lent)
	t.lent, t.out, t.loans[o.index] = t.lent-lent, t.out-lent, 0
	t.start = append(t.start, seat{Step: t.s.step(Redeem, o.ranked, ReasonIdle), of: o})
}

// renew looks at a loan that is about to be over.
func (t *turn) renew(o *standing) {
	j := &t.s.Jobs[o.index]
	due := j.LentUntil.Add(-j.Drain)
	if due.After(t.s.Now) {
		t.next.at(due)
		return
	}
	until := t.s.Lender.until(t.lent)
	if until.Sub(t.s.Now) <= j.Drain || !until.After(j.LentUntil) {
		t.recall(o, ReasonLoanOver)
		return
	}
	st := t.s.step(Extend, o.ranked, ReasonLoan)
	st.Lent, st.Until = j.Lent, until
	t.next.at(until.Add(-j.Drain))
	t.start = append(t.start, seat{Step: st, of: o})
}

// redeemIdle makes loans own GPUs where nobody waits for those, the loan that ends first before others.
func (t *turn) redeemIdle() {
	all := t.borrowers()
	slices.SortStableFunc(all, func(a, b *standing) int {
		return t.s.Jobs[a.index].LentUntil.Compare(t.s.Jobs[b.index].LentUntil)
	})
	for _, o := range all {
		t.redeem(o)
	}
}
