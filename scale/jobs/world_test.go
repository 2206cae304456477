package jobs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// world carries plans out as the platform does: who is told to go takes its time, and nobody gets
// GPUs before they are free.
type world struct {
	t       rapid.TB
	s       Snapshot
	history History
	facts   map[string]*fact
	coming  []Job // in the order of their submission
	next    time.Time
}

// fact is what a scheduler is not told of a job.
type fact struct {
	left     time.Duration // to run, with the ranks it has, when its attempt began
	drain    time.Duration
	leaves   time.Time // when a leaving job's GPUs are free
	recalled time.Time // by when they have to be
	waits    time.Time // since when it waits
	longest  time.Duration
	waited   time.Duration // in all, once it has ended
	ended    bool
}

// drawn is a world with random jobs.
func drawn(t *rapid.T, queues, nodes, lender bool) *world {
	w := &world{t: t, facts: map[string]*fact{}, s: Snapshot{Now: now, GPUs: 16}}
	if nodes {
		w.s = w.s.onNodes("8", "8", "4", "4")
	}
	if queues {
		w.s = w.s.queued(rapid.IntRange(0, 8).Draw(t, "share"), rapid.SampledFrom([]int{Unlimited, 0, 4}).Draw(t, "borrow"))
	}
	if lender {
		w.s.Lender.Offers = []Offer{offer(8, 1000*time.Hour)}
	}
	at := now
	for i := range rapid.IntRange(1, 25).Draw(t, "jobs") {
		at = at.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "gap")) * time.Second)
		w.submit(t, w.job(t, i, at))
	}
	return w
}

func (w *world) job(t *rapid.T, i int, at time.Time) Job {
	ranks := rapid.IntRange(1, 4).Draw(t, "ranks")
	j := Job{
		ID: fmt.Sprint(i), Queue: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "queue"), User: rapid.SampledFrom([]string{"u", "v"}).Draw(t, "user"),
		Ranks: ranks, GPUs: ranks * rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "per"), Submitted: at, Loss: 30 * time.Second,
		Priority: rapid.IntRange(0, 1).Draw(t, "priority"), Preemptible: rapid.IntRange(0, 9).Draw(t, "preemptible") > 0,
		MinRuntime: time.Duration(rapid.IntRange(0, 5).Draw(t, "min")) * time.Minute,
		Borrow:     rapid.SampledFrom([]functions.Use{functions.UseNever, functions.UseAllowed}).Draw(t, "borrow"),
		GiveBack:   30 * time.Second, Drain: 10 * time.Second,
	}
	if rapid.IntRange(0, 2).Draw(t, "elastic") == 0 {
		j.Sizes = []int{ranks, ranks + 1, ranks + 4}
	}
	return j
}

func (w *world) submit(t *rapid.T, j Job) {
	w.coming = append(w.coming, j)
	w.facts[j.ID] = &fact{
		left:  time.Duration(rapid.IntRange(1, 20_000).Draw(t, "runs")) * time.Second,
		drain: time.Duration(rapid.IntRange(0, 30).Draw(t, "drain")) * time.Second,
		waits: j.Submitted,
	}
}

// run goes on until all jobs have ended that can be admitted, or until a moment.
func (w *world) run(until time.Time) {
	for {
		at, any := w.soonest()
		if !any || at.After(until) {
			return
		}
		w.s.Now = at
		w.happen()
		w.obey(Stoker(&w.history, w.s))
		w.check()
	}
}

func (w *world) soonest() (at time.Time, any bool) {
	sooner := func(t time.Time) {
		if !any || t.Before(at) {
			at, any = t, true
		}
	}
	if len(w.coming) > 0 {
		sooner(w.coming[0].Submitted)
	}
	for i := range w.s.Jobs {
		j := &w.s.Jobs[i]
		switch f := w.facts[j.ID]; {
		case j.Leaving:
			sooner(f.leaves)
		case j.Running():
			sooner(j.Started.Add(f.left))
		}
	}
	if w.next.After(w.s.Now) {
		sooner(w.next)
	}
	return at, any
}

// happen ends jobs, has GPUs come free, and takes new jobs in.
func (w *world) happen() {
	now := w.s.Now
	w.s.Jobs = slices.DeleteFunc(w.s.Jobs, func(j Job) bool {
		f := w.facts[j.ID]
		f.ended = j.Running() && !j.Leaving && !j.Started.Add(f.left).After(now)
		if f.ended {
			f.waited = j.Waited(now)
			w.history.Learn(j, now)
		}
		return f.ended
	})
	for i := range w.s.Jobs {
		j := &w.s.Jobs[i]
		f := w.facts[j.ID]
		if !j.Leaving || f.leaves.After(now) {
			continue
		}
		if !f.recalled.IsZero() && now.After(f.recalled) {
			w.t.Fatalf("%s was recalled until %v and left at %v", j.ID, f.recalled, now)
		}
		f.left = max(time.Second, f.left-f.leaves.Add(-f.drain).Sub(j.Started)+j.Loss)
		j.Attained, j.Preemptions = j.Service(now), j.Preemptions+1
		j.Started, j.Leaving, j.On, j.Lent, j.LentUntil = time.Time{}, false, nil, 0, time.Time{}
		if len(j.Sizes) > 0 {
			per := j.per()
			j.Ranks = j.Sizes[0]
			j.GPUs = j.Ranks * per
		}
		f.waits, f.recalled = now, time.Time{}
	}
	for len(w.coming) > 0 && !w.coming[0].Submitted.After(now) {
		w.s.Jobs, w.coming = append(w.s.Jobs, w.coming[0]), w.coming[1:]
	}
}

// obey carries a plan out, and refuses what no plan may hold.
func (w *world) obey(p Plan) {
	w.next = p.Next
	for _, st := range p.Steps {
		j := &w.s.Jobs[st.Index]
		f := w.facts[j.ID]
		switch st.Action {
		case Preempt, Recall, Resize:
			if !j.Running() || j.Leaving || !j.Preemptible {
				w.t.Fatalf("%s of %+v", st.Action, *j)
			}
			if st.Reason != ReasonWanted && st.Reason != ReasonLoanOver && st.Reason != ReasonVanished && j.Ran(w.s.Now) < j.MinRuntime {
				w.t.Fatalf("%s %s after %v, it was to be left alone for %v", st.Action, st.Reason, j.Ran(w.s.Now), j.MinRuntime)
			}
			j.Leaving, f.leaves, f.recalled = true, w.s.Now.Add(f.drain), st.KillAt
			if st.Action == Resize {
				j.Resizing = st.Ranks
			}
		case Admit:
			if j.Running() {
				w.t.Fatalf("admit %+v, which runs", *j)
			}
			if st.Later {
				continue
			}
			per := j.per()
			f.longest = max(f.longest, w.s.Now.Sub(f.waits))
			j.Started, j.Ranks, j.GPUs, j.On, j.Lent, j.LentUntil, j.Resizing = w.s.Now, st.Ranks, st.Ranks*per, st.Nodes, st.Lent, st.Until, 0
		case Extend:
			j.LentUntil = st.Until
		case Redeem:
			j.Lent, j.LentUntil = 0, time.Time{}
		}
	}
}

// check holds that nobody has GPUs that are not there, or more than its queue may have.
func (w *world) check() {
	own, lent := 0, 0
	queues, nodes := map[string]int{}, map[string]int{}
	for i := range w.s.Jobs {
		j := &w.s.Jobs[i]
		if !j.Running() {
			continue
		}
		own, lent = own+j.GPUs-j.Lent, lent+j.Lent
		queues[j.Queue] += j.GPUs - j.Lent
		for _, n := range j.On {
			nodes[n] += j.per()
		}
		if len(w.s.Nodes) > 0 && len(j.On) != j.Ranks {
			w.t.Fatalf("%s has %d ranks on %v", j.ID, j.Ranks, j.On)
		}
	}
	if own > w.s.GPUs {
		w.t.Fatalf("%d of %d GPUs held at %v", own, w.s.GPUs, w.s.Now)
	}
	for _, q := range w.s.Queues {
		if queues[q.Name] > q.most() {
			w.t.Fatalf("queue %s holds %d, and may hold %d", q.Name, queues[q.Name], q.most())
		}
	}
	for _, n := range w.s.Nodes {
		if nodes[n.Name] > n.GPUs {
			w.t.Fatalf("%d of %d GPUs held on %s", nodes[n.Name], n.GPUs, n.Name)
		}
	}
}

func (w *world) lentOut() (gpus int) {
	for i := range w.s.Jobs {
		gpus += w.s.Jobs[i].Lent
	}
	return gpus
}

// TestNobodyHasMoreThanThereIs, nor more than its queue may have, however long jobs take to leave; no
// attempt is cut short that is to be left alone; and every job ends that can be admitted at all.
func TestNobodyHasMoreThanThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawn(t, rapid.Bool().Draw(t, "queues"), rapid.Bool().Draw(t, "nodes"), rapid.Bool().Draw(t, "lender"))
		w.run(now.Add(10_000 * time.Hour))
		for i := range w.s.Jobs {
			own := w.s.Jobs[i]
			own.Borrow = functions.UseNever // what is lent is less than some ask for
			if j := &own; w.s.possible(j) {
				_, waiting := Explain(&w.history, w.s)
				t.Fatalf("%+v never ended; %+v", *j, waiting)
			}
		}
	})
}

// TestTheLenderGetsBackWhatItWants within the time that the borrowers have said, at any moment, unless
// own GPUs take their place.
func TestTheLenderGetsBackWhatItWants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawn(t, rapid.Bool().Draw(t, "queues"), rapid.Bool().Draw(t, "nodes"), true)
		at := now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "wanted at")) * time.Second)
		w.run(at)
		w.s.Lender.Offers[0].GPUs = rapid.IntRange(0, 8).Draw(t, "still lent")
		w.s.Now = at
		w.happen()
		w.obey(Stoker(&w.history, w.s))
		w.run(at.Add(30 * time.Second))
		if most := w.s.Lender.Offers[0].GPUs; w.lentOut() > most {
			t.Fatalf("%d GPUs are lent half a minute after the lender wanted all but %d", w.lentOut(), most)
		}
	})
}

// TestAGuaranteeIsHadAtOnce: whoever borrows from a queue leaves when that needs its GPUs, once it has run
// for as long as it is to be left alone.
func TestAGuaranteeIsHadAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawn(t, true, false, false)
		w.s.Queues = []Queue{{Name: "a", Share: 8, Borrow: Unlimited}, {Name: "b", Share: 8, Borrow: Unlimited}}
		for i := range w.coming {
			w.coming[i].Queue, w.coming[i].Preemptible = "a", true
		}
		at := now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "comes at")) * time.Second)
		w.run(at)
		w.coming = slices.DeleteFunc(w.coming, func(j Job) bool { return j.Submitted.Before(at) })
		left := 8
		for i := range rapid.IntRange(1, 4).Draw(t, "b jobs") {
			gpus := rapid.IntRange(0, left).Draw(t, "gpus")
			left -= gpus
			w.coming = slices.Insert(w.coming, 0, Job{ID: fmt.Sprint("b", i), Queue: "b", GPUs: gpus, Submitted: at, Preemptible: true, Loss: 30 * time.Second})
			w.facts[fmt.Sprint("b", i)] = &fact{left: time.Hour, waits: at}
		}
		// The longest minimum runtime and the slowest drain. An elastic job that becomes smaller for one of those
		// who need GPUs may then be in another's way, with each of its two smaller sizes.
		const drain, alone = 30 * time.Second, LossesWorked * 30 * time.Second
		most := 5*time.Minute + drain + 2*(alone+drain)
		w.run(at.Add(most))
		for id, f := range w.facts {
			if id[0] == 'b' && (f.longest > most || slices.ContainsFunc(w.s.Jobs, func(j Job) bool { return j.ID == id && !j.Running() })) {
				t.Fatalf("%s has waited for more than %v for what its queue is guaranteed", id, most)
			}
		}
	})
}

// TestWaitingIsBounded: a gang of the whole pool waits no longer than the patience, and then until
// those have made room that are to be left alone, however many others come.
func TestWaitingIsBounded(t *testing.T) {
	const most = Patience + 10*time.Minute + 30*time.Second
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := &world{t: t, facts: map[string]*fact{}, s: Snapshot{Now: now, GPUs: 8}}
		w.coming = []Job{{ID: "gang", GPUs: 8, Submitted: now, Preemptible: true, Loss: 30 * time.Second}}
		w.facts["gang"] = &fact{left: time.Hour}
		for at := time.Second; at < Patience+3*time.Hour; at += time.Duration(80+r.IntN(80)) * time.Second {
			j := Job{ID: at.String(), GPUs: 1, Submitted: now.Add(at), Preemptible: true, Loss: 30 * time.Second, MinRuntime: 10 * time.Minute}
			w.coming = append(w.coming, j)
			w.facts[j.ID] = &fact{left: time.Duration(1+r.IntN(1800)) * time.Second, drain: 30 * time.Second}
		}
		w.run(now.Add(Patience + 3*time.Hour))
		if f := w.facts["gang"]; !f.ended || f.waited > most || f.waited < time.Hour {
			t.Errorf("seed %d: ended %t, waited %v; want at most %v, and much, or this shows nothing", seed, f.ended, f.waited, most)
		}
	}
}
