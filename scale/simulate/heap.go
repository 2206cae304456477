package simulate

import "time"

// event is something that happens to a replica at a moment: a request ends, or the replica
// becomes ready.
type event struct {
	at      time.Duration
	service time.Duration // of the request that ends
	r       *replica
}

// events is a heap of events, the earliest first. It is written out, since container/heap
// costs an interface and an allocation for each of some hundred million of them.
type events []event

func (h events) next() time.Duration {
	if len(h) == 0 {
		return never
	}
	return h[0].at
}

func (h *events) push(e event) {
	s := append(*h, e)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if s[up].at <= e.at {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = e
	*h = s
}

func (h *events) pop() event {
	s := *h
	top, last := s[0], s[len(s)-1]
	s[len(s)-1] = event{}
	s = s[:len(s)-1]
	*h = s
	if len(s) > 0 {
		s.sink(last)
	}
	return top
}

// sink puts e where the top was.
func (h events) sink(e event) {
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].at < h[child].at {
			child++
		}
		if e.at <= h[child].at {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = e
}

// agenda orders functions by the moment something happens to them next, then by the order
// in which they came. One function moves at a time, so it is a heap with places.
type agenda []*function

func (a agenda) before(f, g *function) bool {
	return f.due < g.due || f.due == g.due && f.index < g.index
}

func (a *agenda) add(f *function) {
	f.place = len(*a)
	*a = append(*a, f)
	a.fix(f)
}

// fix moves a function whose due changed.
func (a agenda) fix(f *function) {
	i := f.place
	for i > 0 && a.before(f, a[(i-1)/2]) {
		a.put(i, a[(i-1)/2])
		i = (i - 1) / 2
	}
	for {
		child := 2*i + 1
		if child+1 < len(a) && a.before(a[child+1], a[child]) {
			child++
		}
		if child >= len(a) || !a.before(a[child], f) {
			break
		}
		a.put(i, a[child])
		i = child
	}
	a.put(i, f)
}

func (a agenda) put(i int, f *function) { a[i], f.place = f, i }

// queue holds waiting requests, first come first served.
type queue struct {
	waiting []Arrival
	head    int
}

func (q *queue) len() int { return len(q.waiting) - q.head }

func (q *queue) push(a Arrival) { q.waiting = append(q.waiting, a) }

func (q *queue) pop() Arrival {
	a := q.waiting[q.head]
	q.head++
	if q.head > len(q.waiting)/2 && q.head > 64 {
		q.waiting = q.waiting[:copy(q.waiting, q.waiting[q.head:])]
		q.head = 0
	}
	return a
}
