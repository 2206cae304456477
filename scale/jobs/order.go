package jobs

import (
	"cmp"
	"slices"

	"stoker.dev/stoker/functions"
)

// standing is a job's place among all.
type standing struct {
	ranked
	queue   int  // among those of the snapshot
	byRight bool // within the guarantee of its queue
}

// yields tells whether a job makes room for one ahead of it: what a queue has by right it gives to
// nobody but its own jobs.
func (o *standing) yields(to *standing) bool { return !o.byRight || o.queue == to.queue }

// noQueue is the place of a queue that does not exist.
const noQueue = -1

// queueOf is the queue of a job, among those of the snapshot; without any there is one for all.
func (s *Snapshot) queueOf(j *Job) int {
	if len(s.Queues) == 0 {
		return 0
	}
	return slices.IndexFunc(s.Queues, func(q Queue) bool { return q.Name == j.Queue })
}

// inOrder is how GPUs are handed out: to each queue what it is guaranteed, and what is left over to
// the queues that have had least. In a queue it goes by [before].
func (s *Snapshot) inOrder(all []ranked) []standing {
	if len(s.Queues) == 0 {
		slices.SortFunc(all, before)
		out := make([]standing, len(all))
		for i, r := range all {
			out[i] = standing{ranked: r, byRight: true}
		}
		return out
	}
	lists := make([][]standing, len(s.Queues))
	for _, r := range all {
		if q := s.queueOf(&s.Jobs[r.index]); q != noQueue {
			lists[q] = append(lists[q], standing{ranked: r, queue: q})
		}
	}
	var right, rest [][]standing
	for q, list := range lists {
		slices.SortFunc(list, func(a, b standing) int { return before(a.ranked, b.ranked) })
		within, beyond := s.split(list, s.Queues[q].Share)
		right, rest = append(right, within), append(rest, beyond)
	}
	// Guarantees do not compete, unless GPUs have vanished; then it goes by submission.
	order := merge(right, func(a, b *standing) int { return cmp.Compare(a.index, b.index) })
	levels := make([]float64, len(s.Queues))
	for i := range s.Queues {
		levels[i] = s.Queues[i].level(s.Now)
	}
	return append(order, merge(rest, func(a, b *standing) int {
		return cmp.Or(cmp.Compare(levels[a.queue], levels[b.queue]), cmp.Compare(a.score, b.score), cmp.Compare(a.index, b.index))
	})...)
}

// split tells the jobs of a queue that are within its guarantee from those beyond. What runs on
// loans uses none of it.
func (s *Snapshot) split(list []standing, share int) (within, beyond []standing) {
	for _, o := range list {
		j := &s.Jobs[o.index]
		own := j.GPUs - j.Lent
		if !j.Running() {
			own = j.least() * j.per()
		}
		if own <= share && !j.Leaving && j.Borrow != functions.UseOnly {
			share -= own
			o.byRight = true
			within = append(within, o)
		} else {
			beyond = append(beyond, o)
		}
	}
	return within, beyond
}

// merge keeps the order of each list. Of their heads the ones go first whose GPUs are not given to
// others, then the overdue, and then it goes by less.
func merge(lists [][]standing, less func(a, b *standing) int) (out []standing) {
	for {
		best := -1
		for i := range lists {
			if len(lists[i]) == 0 {
				continue
			}
			if best < 0 || ahead(&lists[i][0], &lists[best][0], less) {
				best = i
			}
		}
		if best < 0 {
			return out
		}
		out = append(out, lists[best][0])
		lists[best] = lists[best][1:]
	}
}

func ahead(a, b *standing, less func(a, b *standing) int) bool {
	switch {
	case a.holds != b.holds:
		return a.holds
	case a.overdue != b.overdue:
		return a.overdue
	}
	return less(a, b) < 0
}
