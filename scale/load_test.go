package scale

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// load is a queue with replicas that carry out every decision at once, in ticks. It is no
// simulator of the platform; it closes the loop around Decide.
type load struct {
	spec    Spec
	state   State
	now     time.Time
	every   time.Duration // between arrivals; 0: none
	service time.Duration
	cold    time.Duration
	gpus    int

	nextArrival time.Time
	pending     int
	replicas    []Replica
	ends        map[string][]time.Time // when what each replica holds is done
	made        int
	targets     []int
	seen        Observation // the counts since the last call
}

const tick = 100 * time.Millisecond

func newLoad(spec Spec) *load {
	return &load{spec: spec, now: origin, nextArrival: origin, service: time.Second, cold: 5 * time.Second, gpus: 64, ends: map[string][]time.Time{}}
}

// run lets time pass; each is called after every decision.
func (l *load) run(d time.Duration, each func(Decision)) {
	for end := l.now.Add(d); l.now.Before(end); l.now = l.now.Add(tick) {
		l.arrive()
		l.serve()
		obs := l.observe()
		var dec Decision
		l.state, dec = Decide(l.spec, l.state, obs, l.now)
		if n := len(l.targets); n == 0 || l.targets[n-1] != dec.Target {
			l.targets = append(l.targets, dec.Target)
		}
		l.obey(dec)
		each(dec)
	}
}

func (l *load) arrive() {
	for l.every > 0 && !l.nextArrival.After(l.now) {
		l.pending++
		l.nextArrival = l.nextArrival.Add(l.every)
	}
}

// serve ends what is done, readies what is loaded, and hands out what waits.
func (l *load) serve() {
	l.seen = Observation{}
	for i := range l.replicas {
		r := &l.replicas[i]
		if r.Phase == Starting && !l.now.Before(r.Since.Add(l.cold)) {
			r.Phase, r.Since = Ready, l.now
			l.seen.ColdStarts = append(l.seen.ColdStarts, l.cold)
		}
		held := slices.DeleteFunc(l.ends[r.ID], func(t time.Time) bool { return !l.now.Before(t) })
		done := r.InFlight - len(held)
		r.Served += uint64(done)
		l.seen.Ended += uint64(done)
		l.seen.ServiceSec += float64(done) * l.service.Seconds()
		for ; r.Phase == Ready && len(held) < l.spec.Slots && l.pending > 0; l.pending-- {
			held = append(held, l.now.Add(l.service))
		}
		l.ends[r.ID], r.InFlight = held, len(held)
	}
	l.replicas = slices.DeleteFunc(l.replicas, func(r Replica) bool { return r.Phase == Draining && r.InFlight == 0 })
}

func (l *load) observe() Observation {
	obs := l.seen
	obs.Pending = map[functions.Class]int{functions.Standard: l.pending}
	obs.Replicas = slices.Clone(l.replicas)
	obs.FreeGPUs = l.gpus - len(l.replicas)*l.spec.GPUs
	for _, r := range l.replicas {
		obs.InFlight += r.InFlight
	}
	return obs
}

func (l *load) obey(d Decision) {
	current := 0
	for i := range l.replicas {
		r := &l.replicas[i]
		if slices.Contains(d.Victims, r.ID) && r.Phase != Draining {
			r.Phase, r.Since = Draining, l.now
		}
		if r.Phase != Draining && r.Revision == d.Revision {
			current++
		}
	}
	for ; current < d.Target; current++ {
		l.made++
		l.replicas = append(l.replicas, Replica{ID: fmt.Sprintf("r%04d", l.made), Revision: d.Revision, Phase: Starting, Since: l.now})
	}
}

// turns counts how often the target changed direction.
func (l *load) turns() int {
	turns, up := 0, true
	for i := 1; i < len(l.targets); i++ {
		if rises := l.targets[i] > l.targets[i-1]; rises != up {
			turns, up = turns+1, rises
		}
	}
	return turns
}

func (l *load) serving() int { return serving(l.replicas) }

// A constant load makes the target rise, overshoot at most once while nothing is known and
// the backlog of the cold start is worked off, and then stand still. The exception is a load that is
// just above what some replicas can do: their queue takes many requests to grow, one more replica empties
// it and is not needed for a long time then. It is let go and started again, as anything that is needed
// that rarely, and never sooner than after [MinAutoKeepAlive].
func TestConstantLoadNeverFlaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLoad(Spec{
			Revision:  "a",
			Max:       64,
			Slots:     rapid.SampledFrom([]int{1, 2, 8}).Draw(t, "slots"),
			Wait:      time.Duration(rapid.IntRange(1, 30).Draw(t, "waitSec")) * time.Second,
			KeepAlive: AutoKeepAlive,
			GPUs:      1,
		})
		l.every = time.Duration(rapid.IntRange(20, 5000).Draw(t, "everyMs")) * time.Millisecond
		l.service = time.Duration(rapid.IntRange(1, 40).Draw(t, "serviceTicks")) * tick
		l.cold = time.Duration(rapid.IntRange(1, 300).Draw(t, "coldTicks")) * tick
		const run = 5 * time.Minute
		l.run(run, func(Decision) {})
		most := 2
		if over := l.service.Seconds() / (l.every.Seconds() * float64(l.spec.Slots)); over > 1 && over-math.Floor(over) < 0.01 {
			most += 2 * int(run/MinAutoKeepAlive)
		}
		if turns := l.turns(); turns > most {
			t.Fatalf("the target turned %d times under a constant load: %v", turns, l.targets)
		}
	})
}

// When requests stop, everything is let go after the keep-alive, and nothing before.
func TestGoesToZeroAfterKeepAlive(t *testing.T) {
	l := newLoad(Spec{Revision: "a", Max: 8, Slots: 1, Wait: 2 * time.Second, KeepAlive: 45 * time.Second, GPUs: 1})
	l.every = 300 * time.Millisecond
	l.run(2*time.Minute, func(Decision) {})
	l.every = 0
	l.run(45*time.Second, func(d Decision) {
		if d.Target == 0 {
			t.Fatalf("let go %v after the last request, before the keep-alive of 45 s", d.Inputs.IdleSec)
		}
	})
	l.run(2*time.Second, func(Decision) {})
	if len(l.replicas) != 0 || l.state.Last.Phase != PhaseZero {
		t.Fatalf("%d replicas are left, phase %s", len(l.replicas), l.state.Last.Phase)
	}
}

// With a GPU free for the surge a rollout never drops below capacity; without one it is
// never more than one replica short. Either way it ends with the current revision only.
func TestRolloutKeepsCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "replicas")
		spare := rapid.IntRange(0, 2).Draw(t, "spareGPUs")
		l := newLoad(Spec{Revision: "a", Max: n, Slots: 1, Wait: 2 * time.Second, KeepAlive: AutoKeepAlive, GPUs: 1})
		l.gpus = n + spare
		l.every = time.Second / time.Duration(n+1) // more than n can take: all are needed
		l.run(2*time.Minute, func(Decision) {})
		if l.serving() != n {
			t.Fatalf("%d serve before the rollout, want %d", l.serving(), n)
		}
		l.spec.Revision = "b"
		least := n
		l.run(5*time.Minute, func(Decision) { least = min(least, l.serving()) })
		if want := n - max(0, 1-spare); least < want {
			t.Fatalf("capacity fell to %d of %d with %d spare GPUs", least, n, spare)
		}
		old := slices.ContainsFunc(l.replicas, func(r Replica) bool { return r.Revision == "a" })
		if old || l.serving() != n {
			t.Fatalf("the rollout did not end: %d serve, old ones left: %v", l.serving(), old)
		}
	})
}
