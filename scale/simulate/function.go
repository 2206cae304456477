package simulate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"stoker.dev/stoker/scale"
)

// replica is one running copy.
type replica struct {
	id                      string
	phase                   scale.ReplicaPhase
	started, readyAt, since time.Duration
	busySince, useful       time.Duration
	inFlight                int
	served                  uint64
}

// function is one function of the world.
type function struct {
	w      *World
	name   string
	index  int // by first arrival
	place  int // in the agenda
	slots  int
	gpus   int           // per replica
	wait   time.Duration // the objective's limit
	policy Policy
	draws  draws
	cold   ColdStart

	replicas []*replica // oldest first, which is the order of their IDs
	count    [3]int     // by phase: starting, ready, draining
	free     int        // slots of ready replicas
	busy     int        // replicas with something in flight
	inFlight int
	turn     int // the replica that took the last request
	begun    int // replicas ever started
	queue    queue

	ends   events
	starts events
	due    time.Duration // the next moment at which something happens
	evalAt time.Duration // when the policy looks next, whatever happens
	lookAt time.Duration // when it looks since something changed
	short  bool          // there would be more replicas, were GPUs free
	lacks  int           // so many

	view   View
	areaAt time.Duration
	shown  Row

	tally tally
}

// The places of the phases in count.
const (
	starting = iota
	ready
	draining
)

func phaseIndex(p scale.ReplicaPhase) int {
	switch p {
	case scale.Ready:
		return ready
	case scale.Draining:
		return draining
	default:
		return starting
	}
}

// plan sets due from what is on the agenda.
func (f *function) plan() {
	f.due = min(f.ends.next(), f.starts.next(), f.evalAt, f.lookAt)
	f.w.agenda.fix(f)
}

// step does what is due at f.due.
func (f *function) step() {
	now := f.due
	switch {
	case f.ends.next() == now:
		f.end(f.ends.pop(), now)
	case f.starts.next() == now:
		if r := f.starts.pop().r; r.phase == scale.Starting {
			f.becomeReady(r, now)
		}
	default:
		f.decide(now)
	}
	f.plan()
	f.show(now)
}

// weigh brings the integral of the load up to now. It is called before the load changes.
func (f *function) weigh(now time.Duration) {
	f.view.Area += float64(f.queue.len()+f.inFlight) * float64(now-f.areaAt)
	f.areaAt = now
}

// arrive takes a request in.
func (f *function) arrive(a Arrival) {
	f.weigh(a.At)
	f.tally.requests++
	f.view.Arrived++
	asleep := f.count[ready] == 0
	if asleep {
		f.tally.coldRequests++
	}
	if f.free > 0 {
		f.begin(a, a.At)
	} else {
		f.queue.push(a)
	}
	f.view.Peak = max(f.view.Peak, f.queue.len()+f.inFlight)
	if asleep && f.w.family.Push {
		f.decide(a.At)
	} else {
		f.changed(a.At)
	}
	f.plan()
	f.show(a.At)
}

// changed has the policy look at the next beat.
func (f *function) changed(now time.Duration) {
	beat := f.w.family.Beat
	if beat == 0 {
		f.decide(now)
		return
	}
	f.lookAt = min(f.lookAt, nextTick(now, beat))
}

// begin puts a request on the next replica that has a slot free.
func (f *function) begin(a Arrival, now time.Duration) {
	r := f.pick()
	if r.inFlight == 0 {
		r.busySince = now
		f.busy++
	}
	r.inFlight++
	f.inFlight++
	f.free--
	f.ends.push(event{at: now + a.Service, service: a.Service, r: r})
	f.w.waited(f, now-a.At)
}

// pick takes turns among the ready replicas with a free slot, of which there is one.
func (f *function) pick() *replica {
	for {
		f.turn++
		if f.turn >= len(f.replicas) {
			f.turn = 0
		}
		if r := f.replicas[f.turn]; r.phase == scale.Ready && r.inFlight < f.slots {
			return r
		}
	}
}

// end ends a request.
func (f *function) end(e event, now time.Duration) {
	f.weigh(now)
	r := e.r
	r.inFlight--
	r.served++
	f.inFlight--
	f.view.Ended++
	f.view.Service += e.service
	if r.inFlight == 0 {
		r.useful += now - r.busySince
		f.busy--
	}
	if r.phase != scale.Draining {
		f.free++
		f.serve(now)
	} else if r.inFlight == 0 {
		f.leave(r, now)
	}
	f.changed(now)
}

// serve gives free slots to what waits.
func (f *function) serve(now time.Duration) {
	for f.free > 0 && f.queue.len() > 0 {
		f.begin(f.queue.pop(), now)
	}
}

// start starts n replicas.
func (f *function) start(n int, now time.Duration) {
	for range n {
		cold := f.cold.At(f.draws.at(f.begun))
		r := f.add(now)
		f.starts.push(event{at: now + cold, r: r})
	}
}

func (f *function) add(now time.Duration) *replica {
	r := &replica{id: fmt.Sprintf("r%08d", f.begun), phase: scale.Starting, started: now, since: now, readyAt: never}
	f.begun++
	f.replicas = append(f.replicas, r)
	f.count[starting]++
	f.w.used += f.gpus
	return r
}

func (f *function) turnTo(r *replica, p scale.ReplicaPhase, now time.Duration) {
	f.count[phaseIndex(r.phase)]--
	f.count[phaseIndex(p)]++
	r.phase, r.since = p, now
}

func (f *function) becomeReady(r *replica, now time.Duration) {
	f.weigh(now)
	f.view.ColdStarts = append(f.view.ColdStarts, now-r.started)
	f.makeReady(r, now)
	f.serve(now)
	f.decide(now)
}

func (f *function) makeReady(r *replica, now time.Duration) {
	f.turnTo(r, scale.Ready, now)
	r.readyAt = now
	f.free += f.slots
}

// drain tells a replica to go.
func (f *function) drain(r *replica, now time.Duration) {
	if r.phase == scale.Draining {
		return
	}
	if r.phase == scale.Ready {
		f.free -= f.slots - r.inFlight
	}
	f.turnTo(r, scale.Draining, now)
	if r.inFlight == 0 {
		f.leave(r, now)
	}
}

// leave ends a replica and closes its books.
func (f *function) leave(r *replica, now time.Duration) {
	i := slices.Index(f.replicas, r)
	f.replicas = slices.Delete(f.replicas, i, i+1)
	f.count[phaseIndex(r.phase)]--
	r.phase = scale.Gone
	f.tally.close(r, now)
	f.w.released(f.gpus, now)
}

// decide asks the policy and does what it says.
func (f *function) decide(now time.Duration) {
	f.weigh(now)
	v := &f.view
	v.Now, v.Queued, v.InFlight = now, f.queue.len(), f.inFlight
	v.Starting, v.Ready, v.Draining = f.count[starting], f.count[ready], f.count[draining]
	v.Peak = max(v.Peak, v.Load())
	v.FreeGPUs, v.Pool = f.w.freeGPUs(), f.w.config.Pool
	o := f.policy.Decide(v)
	v.Arrived, v.Ended, v.Late, v.Service, v.Peak, v.ColdStarts = 0, 0, 0, 0, v.Load(), v.ColdStarts[:0]
	f.lookAt, f.evalAt = never, never
	if o.Next > 0 {
		f.evalAt = max(o.Next, now+minPause)
	}
	f.obey(o, now)
}

// minPause keeps a policy that asks to look again at once from standing still: a
// millisecond, finer than any of them thinks.
const minPause = time.Millisecond

// obey carries out an order.
func (f *function) obey(o Order, now time.Duration) {
	begun, was := f.begun, f.staying()
	for _, r := range f.named(o.Victims) {
		f.drain(r, now)
	}
	f.short, f.lacks = o.Short, o.Lacks
	switch have := f.staying(); {
	case o.Target < have && len(o.Victims) == 0:
		for _, r := range f.leastMissed(have - o.Target) {
			f.drain(r, now)
		}
	case o.Target > have:
		n := min(o.Target-have, f.w.room(f.gpus))
		f.short = f.short || n < o.Target-have
		f.lacks += o.Target - have - n
		f.start(n, now)
	}
	if f.begun != begun || f.staying() != was {
		f.tally.decisions++
	}
	f.w.lookAgain(o.Look, now)
}

// staying is how many replicas are not on their way out.
func (f *function) staying() int { return f.count[starting] + f.count[ready] }

// named finds replicas by their IDs.
func (f *function) named(ids []string) []*replica {
	var out []*replica
	for _, id := range ids {
		i, found := slices.BinarySearchFunc(f.replicas, id, func(r *replica, id string) int { return cmp.Compare(r.id, id) })
		if found && f.replicas[i].phase != scale.Draining {
			out = append(out, f.replicas[i])
		}
	}
	return out
}

// leastMissed are the n replicas that lose least by going: not ready before ready, then the
// fewest requests in flight, then the youngest.
func (f *function) leastMissed(n int) []*replica {
	out := make([]*replica, 0, len(f.replicas))
	for _, r := range f.replicas {
		if r.phase != scale.Draining {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *replica) int {
		return cmp.Or(cmp.Compare(phaseIndex(a.phase), phaseIndex(b.phase)), cmp.Compare(a.inFlight, b.inFlight), cmp.Compare(b.id, a.id))
	})
	return out[:min(n, len(out))]
}
