package simulate

import (
	"fmt"
	"time"
)

// Survey is a first look at a trace: what hindsight needs. One pass, memory by function and
// by what runs at a time.
type Survey struct {
	Requests  int
	Begin     time.Duration // the first arrival
	Last      time.Duration // the last one
	Names     []string      // functions, by first arrival
	Work      time.Duration // service time of all requests
	settings  func(string) Settings
	functions map[string]*surveyed
	bound     bound
}

// surveyed is what is seen of one function.
type surveyed struct {
	name     string
	slots    int
	requests int
	runs     events // as if every request began at once
	most     int    // most requests at a time
	bound    *boundOf
}

// NewSurvey begins a survey. The objective is the settings': a share WaitAt of requests waits
// no longer than Wait.
func NewSurvey(settings func(function string) Settings) *Survey {
	return &Survey{settings: settings, functions: map[string]*surveyed{}}
}

// Arrive takes one request. The error is ErrOrder.
func (s *Survey) Arrive(a Arrival) error {
	if s.Requests == 0 {
		s.Begin = a.At
	}
	if a.At < s.Last {
		return fmt.Errorf("%w: %v after %v", ErrOrder, a.At, s.Last)
	}
	f := s.functions[a.Function]
	if f == nil {
		set := s.settings(a.Function)
		f = &surveyed{name: a.Function, slots: max(1, set.Slots), bound: s.bound.of(set)}
		s.functions[a.Function] = f
		s.Names = append(s.Names, a.Function)
	}
	s.Requests++
	s.Last = a.At
	s.Work += a.Service
	f.requests++
	for f.runs.next() <= a.At {
		f.runs.pop()
	}
	f.runs.push(event{at: a.At + a.Service})
	f.most = max(f.most, len(f.runs))
	f.bound.arrive(a)
	return nil
}

// Oracle is the bound below which no policy can be; see the documentation of bound.
func (s *Survey) Oracle() Result {
	r := s.bound.result()
	r.Functions, r.Requests, r.Seconds = len(s.Names), s.Requests, (s.Last - s.Begin).Seconds()
	return r
}

// Peak is always-on provisioning for the highest demand: as many replicas as the busiest moment
// of each function takes for every request to begin at once.
func (s *Survey) Peak() Family {
	return alwaysOn(NamePeak, func(name string) int {
		f := s.functions[name]
		return slotsFor(f.most, f.slots)
	})
}

// Sizing looks for the fewest replicas, always on, with which each function meets the
// objective, the busiest moments being those that may be late. Until it is Done: hand in the
// trace, then Narrow.
type Sizing struct {
	sizes map[string]*size
}

// triesAtOnce is how many sizes of a function one pass tries: a pass narrows nine-fold.
const triesAtOnce = 8

// size is the search for one function: too few replicas, and enough.
type size struct {
	slots, requests int
	wait            time.Duration
	share           float64
	few, enough     int
	tries           []try
}

// try is one size: when each of its slots is free, the earliest first, and how many requests
// it served in time.
type try struct {
	n      int
	free   []time.Duration
	inTime int
}

// Sizing begins the search.
func (s *Survey) Sizing() *Sizing {
	z := &Sizing{sizes: map[string]*size{}}
	for _, f := range s.functions {
		set := s.settings(f.name)
		x := &size{slots: f.slots, requests: f.requests, wait: set.Wait, share: set.WaitAt, enough: slotsFor(f.most, f.slots)}
		x.spread()
		z.sizes[f.name] = x
	}
	return z
}

// spread chooses the sizes that the next pass tries.
func (x *size) spread() {
	x.tries = x.tries[:0]
	between := x.enough - x.few - 1
	for i := range min(between, triesAtOnce) {
		n := x.few + 1 + i*between/min(between, triesAtOnce)
		x.tries = append(x.tries, try{n: n, free: make([]time.Duration, n*x.slots)})
	}
}

// Arrive takes one request.
func (z *Sizing) Arrive(a Arrival) {
	x := z.sizes[a.Function]
	for i := range x.tries {
		if x.tries[i].serve(a) <= x.wait {
			x.tries[i].inTime++
		}
	}
}

// serve puts a request on the slot that is free first, and gives its wait.
func (t *try) serve(a Arrival) time.Duration {
	wait := max(0, t.free[0]-a.At)
	at, i := a.At+wait+a.Service, 0
	for {
		child := 2*i + 1
		if child >= len(t.free) {
			break
		}
		if child+1 < len(t.free) && t.free[child+1] < t.free[child] {
			child++
		}
		if at <= t.free[child] {
			break
		}
		t.free[i] = t.free[child]
		i = child
	}
	t.free[i] = at
	return wait
}

// Done tells whether the search is over.
func (z *Sizing) Done() bool {
	for _, x := range z.sizes {
		if len(x.tries) > 0 {
			return false
		}
	}
	return true
}

// Narrow takes in a pass.
func (z *Sizing) Narrow() {
	for _, x := range z.sizes {
		for _, t := range x.tries {
			if float64(t.inTime) >= x.share*float64(x.requests) {
				x.enough = min(x.enough, t.n)
			}
		}
		for _, t := range x.tries {
			if t.n < x.enough {
				x.few = max(x.few, t.n)
			}
		}
		x.spread()
	}
}

// Fixed is always-on provisioning with what the search found.
func (z *Sizing) Fixed() Family { return alwaysOn(NameFixed, z.Replicas) }

// alwaysOn has replicas that are ready when the trace begins and stay until it ends.
func alwaysOn(name string, replicas func(function string) int) Family {
	return Family{
		Name: name, Always: replicas, Beat: time.Hour,
		New: func(function string, _ Settings) Policy { return constant(replicas(function)) },
	}
}

// constant is a policy that never changes its mind.
type constant int

// Decide is always the same.
func (c constant) Decide(*View) Order { return Order{Target: int(c)} }

// Replicas is what the search found for a function.
func (z *Sizing) Replicas(function string) int { return z.sizes[function].enough }
