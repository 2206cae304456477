package jobs

import (
	"slices"
	"time"

	"stoker.dev/stoker/functions"
)

// turn is one plan in the making.
type turn struct {
	h     *History
	s     *Snapshot
	order []standing
	nodes [][]int // of each job's ranks, by job; negative: it is not there any more
	loans []int   // GPUs of each job that are on loan
	gone  []bool  // jobs that leave, or shall by this plan
	free  room    // nobody holds it, and nobody ahead waits for it
	soon  room    // that, and what jobs hold that leave
	lent  int     // on loan to jobs that stay
	out   int     // on loan, also to jobs that leave
	stop  []Step
	start []seat
	wait  []Waiting
	next  soonest

	movable  []int // own GPUs of jobs from that place in the order on that can be preempted
	blocked  bool  // somebody ahead waits
	reserved *reservation
}

// seat is a job that gets GPUs, or keeps them on other terms.
type seat struct {
	Step
	of    *standing
	where []int // nodes of its ranks
}

// newTurn takes stock.
func newTurn(h *History, s *Snapshot, order []standing, next soonest) *turn {
	n := len(s.Jobs)
	t := &turn{h: h, s: s, order: order, next: next, gone: make([]bool, n), nodes: make([][]int, n), loans: make([]int, n), free: s.all()}
	for i := range s.Jobs {
		j := &s.Jobs[i]
		if !j.Running() {
			continue
		}
		t.nodes[i], t.loans[i] = s.nodesOf(j), j.Lent
		t.give(&t.free, i, -j.ranks())
		t.out += j.Lent
		if t.gone[i] = j.Leaving; !j.Leaving {
			t.lent += j.Lent
		}
	}
	t.soon = t.free.clone()
	for i := range s.Jobs {
		if t.gone[i] {
			t.leave(i)
		}
	}
	t.free.within(t.soon)
	return t
}

// all is the room that there would be without jobs.
func (s *Snapshot) all() room {
	r := room{own: s.GPUs}
	for i := range s.Queues {
		r.quota = append(r.quota, s.Queues[i].most())
	}
	for i := range s.Nodes {
		r.at = append(r.at, s.Nodes[i].GPUs)
	}
	return r
}

// nodesOf are the nodes a job's ranks are on. A machine with GPUs of several products is a node for each.
func (s *Snapshot) nodesOf(j *Job) []int {
	if len(s.Nodes) == 0 {
		return nil
	}
	var out []int
	for _, name := range j.On {
		out = append(out, slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Name == name && n.holds(j) }))
	}
	return out
}

// give adds what a job gives back with so many of its ranks, the last ones first, or takes it away
// with a negative number. GPUs on loan go back before its own.
func (t *turn) give(r *room, i, ranks int) {
	j := &t.s.Jobs[i]
	sign, n := 1, ranks
	if ranks < 0 {
		sign, n = -1, -ranks
	}
	own := max(0, n*j.per()-t.loans[i])
	r.own += sign * own
	if q := t.s.queueOf(j); q != noQueue && r.quota != nil {
		r.quota[q] += sign * own
	}
	where := t.nodes[i]
	r.move(where[max(0, len(where)-n):], sign*j.per())
}

// leave counts on what a job that leaves gives back: all, or what its new size leaves over. What a
// larger one needs more is kept for it.
func (t *turn) leave(i int) {
	j := &t.s.Jobs[i]
	if j.Resizing <= j.ranks() {
		t.give(&t.soon, i, j.ranks()-j.Resizing)
		return
	}
	t.soon.own -= (j.Resizing - j.ranks()) * j.per()
}

// plan is what came of the turn.
func (t *turn) plan() Plan {
	p := Plan{Next: t.next.Time}
	free := t.s.free()
	for i := range t.stop {
		t.stop[i].Inputs.Free = free
		j := &t.s.Jobs[t.stop[i].Index]
		free += max(0, j.GPUs-t.stop[i].Ranks*j.per()-j.Lent)
	}
	p.Steps = t.stop
	for _, st := range t.start {
		st.Inputs.Free = free
		switch st.Action {
		case Admit:
			free -= st.Inputs.GPUs - st.Lent
		case Redeem:
			free -= t.s.Jobs[st.Index].Lent
		case Preempt, Recall, Resize, Extend:
		}
		p.Steps = append(p.Steps, st.Step)
	}
	if len(t.wait) == 0 && t.out == 0 && len(t.stop) == 0 && !t.elastic() {
		p.Next = time.Time{} // no order matters until a job comes
	}
	return p
}

// handOut gives each job that waits what it needs, in their order.
func (t *turn) handOut() {
	t.movable = make([]int, len(t.order)+1)
	for at := len(t.order) - 1; at >= 0; at-- {
		t.movable[at] = t.movable[at+1]
		if i := t.order[at].index; t.s.Jobs[i].Running() && !t.gone[i] && !t.order[at].holds {
			t.movable[at] += t.s.Jobs[i].GPUs - t.loans[i]
		}
	}
	for at := range t.order {
		o := &t.order[at]
		if j := &t.s.Jobs[o.index]; j.Running() || t.gone[o.index] {
			continue
		}
		if block := t.seat(at); block != "" {
			t.waits(o.index, block)
			t.blocked = t.blocked || block != BlockNever
		}
	}
	for i := range t.s.Jobs {
		if t.s.queueOf(&t.s.Jobs[i]) == noQueue && !t.s.Jobs[i].Running() {
			t.waits(i, BlockNever)
		}
	}
}

func (t *turn) waits(i int, block Block) {
	t.wait = append(t.wait, Waiting{Index: i, Job: t.s.Jobs[i].ID, Position: len(t.wait) + 1, Block: block})
}

// seat admits a job if it can, and otherwise says what it waits for.
func (t *turn) seat(at int) Block {
	o := &t.order[at]
	j := &t.s.Jobs[o.index]
	switch {
	case !t.s.possible(j):
		return BlockNever
	case t.barred(o):
		return BlockReserved
	case j.Borrow != functions.UseOnly && t.admit(o, &t.free, o.admission(j, t.blocked)):
		return ""
	case t.lend(o):
		return ""
	case j.Borrow == functions.UseOnly:
		return BlockLoan
	case t.admit(o, &t.soon, o.admission(j, t.blocked)):
		return BlockLeaving
	case t.makeRoom(at):
		return BlockLeaving
	}
	block := t.lacks(o)
	if o.overdue && t.reserved == nil {
		t.reserve(at, block)
	}
	return block
}

// admission is why a job is admitted, unless others make room for it.
func (o *standing) admission(j *Job, blocked bool) Reason {
	if j.Resizing > 0 {
		return ReasonBack
	}
	return admission(o.ranked, blocked)
}

// least is the ranks of the smallest gang a job waits for.
func (j *Job) least() int {
	if j.Resizing > 0 {
		return j.Resizing
	}
	if len(j.Sizes) > 0 {
		return j.Sizes[0]
	}
	return j.ranks()
}

// fits tells whether so many ranks have room, and where. So many of their GPUs come from elsewhere.
func (t *turn) fits(r *room, o *standing, ranks, lent int) ([]int, bool) {
	j := &t.s.Jobs[o.index]
	own := ranks*j.per() - lent
	if own > 0 && (own > r.own || r.quota != nil && own > r.quota[o.queue]) {
		return nil, false
	}
	return t.s.places(*r, j, ranks)
}

// admit gives a job its smallest gang, of what is free or of what will be.
func (t *turn) admit(o *standing, of *room, why Reason) bool {
	j := &t.s.Jobs[o.index]
	where, ok := t.fits(of, o, j.least(), 0)
	if !ok {
		return false
	}
	t.take(o, where, j.least(), Step{Action: Admit, Reason: why, Later: of == &t.soon})
	return true
}

// take notes an admission, and that its GPUs are nobody else's.
func (t *turn) take(o *standing, where []int, ranks int, st Step) {
	j := &t.s.Jobs[o.index]
	full := t.s.step(st.Action, o.ranked, st.Reason)
	full.Later, full.Lent, full.Until, full.Ranks = st.Later, st.Lent, st.Until, ranks
	full.Nodes, full.Inputs.GPUs = t.s.names(where), ranks*j.per()
	if st.Later && full.Reason != ReasonOverdue && full.Reason != ReasonBack {
		full.Reason = ReasonAhead
	}
	own := ranks*j.per() - st.Lent
	t.soon.spend(o.queue, own)
	t.soon.move(where, -j.per())
	if st.Later {
		t.free.within(t.soon)
	} else {
		t.free.spend(o.queue, own)
		t.free.move(where, -j.per())
	}
	t.start = append(t.start, seat{full, o, where})
}

// spend takes GPUs by right.
func (r *room) spend(queue, gpus int) {
	r.own -= gpus
	if r.quota != nil {
		r.quota[queue] -= gpus
	}
}

// possible tells whether a job could be admitted if nobody else were there.
func (s *Snapshot) possible(j *Job) bool {
	if s.queueOf(j) == noQueue {
		return false
	}
	all, gpus := s.all(), j.least()*j.per()
	if j.borrows() && j.Preemptible {
		return true // what will be lent nobody knows
	}
	if all.quota != nil && gpus > all.quota[s.queueOf(j)] || gpus > all.own {
		return false
	}
	_, ok := s.places(all, j, j.least())
	return ok
}
