package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
	"stoker.dev/stoker/workflows"
)

// radio is a bus that notes what is said.
type radio struct {
	Bus
	said chan string
}

func (r radio) Emit(_ context.Context, _ functions.Key, kind, what string, _ any) error {
	r.said <- kind + "/" + what
	return nil
}

// local is a provider of which only the name matters.
type local struct{ activities.Provider }

func (local) Name() string { return "local" }

// prices are those of GPU products; nobody keeps books.
type prices map[string]float64

func (prices) Tell(events.Heartbeat) {}
func (prices) Lend(map[string]int)   {}
func (p prices) PerHour(product string) (float64, bool) {
	usd, known := p[product]
	return usd, known
}

// hall is a dispatcher of six nodes with one GPU each at 2 USD an hour, and one job that trains on so many
// of them; its loop is the test, and its clock too.
type hall struct {
	*Dispatcher
	e    *entry
	c    *clerk
	said chan string
	now  time.Time
}

func newHall(t *testing.T, spec functions.JobSpec, nodes int) *hall {
	t.Helper()
	h := &hall{c: &clerk{}, said: make(chan string, 16), now: origin}
	var l scale.Ledger
	var devices []scale.Device
	for i := range 6 {
		devices = append(devices, scale.Device{ID: fmt.Sprint("g", i), Node: fmt.Sprint("n", i), Product: "L4", Healthy: true})
	}
	l.SetInventory(nil, devices, origin)
	h.Dispatcher = New(Options{
		Workflows: h.c, Ledger: still{l: l}, Bus: radio{said: h.said}, Provider: local{}, Checkpoints: &Checkpoints{Remote: true}, Guaranteed: 6, Shortage: func() int { return 0 },
		Spending: prices{"L4": 2}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return h.now },
	})
	h.planner.saving = true // nothing stores it here
	_, end := h.box.Begin(t.Context())
	t.Cleanup(end)
	rec := events.JobRecord{UID: "uid", Submitted: origin}
	rec.Job.Metadata = functions.Metadata{Namespace: "ns", Name: "train"}
	rec.Job.Spec = spec
	h.e = newEntry(rec.Job.Key(), rec, 1)
	h.jobs[h.e.key] = h.e
	h.trains(nodes, 1, &l)
	return h
}

// trains has the job train on the first nodes, in the gang of a generation.
func (h *hall) trains(nodes int, generation uint64, l *scale.Ledger) {
	e := h.e
	life := e.Life
	life.Phase, life.Generation = job.Running, generation
	life.Gang = &job.Gang{Nodes: nodes, Placed: h.now, Started: h.now.Add(time.Second), Ranks: make([]job.Rank, nodes)}
	e.placed = workflows.Placed{Generation: generation, Nodes: nodes}
	for i := range nodes {
		id := e.gang(generation, nodes).RankID(i)
		l.Leases = append(l.Leases, scale.Lease{Holder: id, Owner: activities.JobOwner(e.key), Node: fmt.Sprint("n", i), State: scale.Bound, Devices: []string{fmt.Sprint("g", i)}, Since: h.now})
		e.placed.On = append(e.placed.On, fmt.Sprint("n", i))
	}
	h.Ledger = still{l: *l}
	h.update(e, life, generation)
}

// hears has time pass in which each rank reports once a second, at so many steps a second of a thousand.
func (h *hall) hears(d time.Duration, rate float64) {
	from, step := h.now, float64(h.e.Progress.Step)
	for h.now.Sub(from) < d {
		h.now = h.now.Add(time.Second)
		h.beats(int64(step + math.Floor(rate*h.now.Sub(from).Seconds())))
		h.tick()
	}
}

// beats has each rank say how far it is; 0: it has reported nothing. All but the first are a step behind.
func (h *hall) beats(step int64) {
	for n := range h.e.Life.Gang.Ranks {
		said := events.Rank{Generation: h.e.Life.Generation, Rank: n}
		if step > 0 {
			said.Step, said.Percent, said.ReportedAt = step-int64(min(n, 1)), float64(step)/10, h.now
		}
		h.beat(events.RankKey(h.e.key), events.Heartbeat{Replica: h.e.gang(h.e.Life.Generation, 0).RankID(n), Rank: &said})
	}
}

// asked are the events of a kind that the workflow was told, or is about to be.
func (h *hall) asked(t *testing.T, kind job.Kind) (out []job.Event) {
	t.Helper()
	for {
		settle(t, h.Dispatcher, h.e)
		if len(h.e.pending) == 0 {
			break
		}
		h.tell(h.e)
	}
	for _, x := range h.c.told {
		for _, ev := range x.Events {
			if ev.Kind == kind {
				out = append(out, ev)
			}
		}
	}
	return out
}

func elastic(goal functions.Goal) functions.JobSpec {
	return functions.JobSpec{
		Resources: functions.JobResources{GPUsPerNode: 1}, Elastic: functions.Elastic{Min: 1, Max: 6, Step: 1}, Goal: goal,
		Preemption: functions.Preemption{Preemptible: true, Grace: functions.Duration(30 * time.Second)},
		Checkpoint: functions.Checkpoint{Interval: functions.Duration(10 * time.Second)},
		Stuck:      functions.Stuck{After: functions.Duration(functions.DefaultStuckAfter), Action: functions.StuckReport},
	}
}

// A job that is too slow for its goal comes back with the nodes that are expected to reach it, once its speed was
// measured and a restart worked for; one that is fast enough is left alone.
func TestAJobGetsTheNodesItsGoalNeeds(t *testing.T) {
	for _, c := range []struct {
		name  string
		goal  functions.Goal
		nodes int
		rate  float64
		want  int // 0: it stays as it is
	}{
		{"in time as it is", functions.Goal{Within: functions.Duration(time.Hour)}, 1, 1, 0},
		{"too slow", functions.Goal{Within: functions.Duration(10 * time.Minute)}, 1, 1, 3},
		{"never in time", functions.Goal{Within: functions.Duration(4 * time.Minute)}, 1, 1, 6},
		{"faster", functions.Goal{StepsPerSecond: "1.8"}, 1, 1, 2},
		{"wasteful", functions.Goal{Within: functions.Duration(24 * time.Hour)}, 4, 2, 1},
		{"no money for more", functions.Goal{Within: functions.Duration(10 * time.Minute), MaxCost: "0.57"}, 1, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHall(t, elastic(c.goal), c.nodes)
			if c.nodes > 1 {
				h.e.Scaling.Learn(1, 1000, 1000*time.Second) // in an attempt before
			}
			h.hears(150*time.Second, c.rate)
			got := h.asked(t, job.Leave)
			if c.want == 0 && len(got) > 0 || c.want > 0 && (len(got) != 1 || got[0].Nodes != c.want || got[0].Cause != job.CauseResized) {
				t.Fatalf("told to go: %+v; chosen %+v of %+v", got, h.e.choice, h.e.Scaling)
			}
			v := h.view(h.e, nil).Goal
			if v == nil || v.Meaning == "" || len(v.Speeds) == 0 || v.Misses != v.Reason.Misses() {
				t.Errorf("people see %+v", v)
			}
		})
	}
}

// Nobody is told of a choice twice, and everybody that a goal will be missed.
func TestAGoalThatWillBeMissedIsTold(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{Within: functions.Duration(4 * time.Minute)}), 1)
	h.hears(90*time.Second, 1)
	if got := <-h.said; got != "job/goal" {
		t.Errorf("told of %s", got)
	}
	select {
	case again := <-h.said:
		t.Errorf("told again: %s", again)
	default:
	}
	if v := h.view(h.e, nil).Goal; !v.Misses || v.Reason != jobs.ChoiceLate || v.Done.Before(v.By) {
		t.Errorf("people see %+v", v)
	}
}

// What is left is steps: a time that two nodes expect is not that of six.
func TestWhatIsLeftDoesNotDependOnTheSize(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{Within: functions.Duration(time.Hour)}), 2)
	h.e.Scaling.Learn(6, 300, 100*time.Second) // in an attempt before
	for step := int64(1); step <= 200; step++ {
		h.now = h.now.Add(time.Second)
		h.says(0, events.Rank{Step: step, ETASec: float64(1000 - step), ReportedAt: h.now})
	}
	left := func(want float64) {
		t.Helper()
		if got := h.e.left(); math.Abs(got-want) > 1 {
			t.Errorf("%v steps are left, want %v", got, want)
		}
	}
	left(800)
	h.again(150, 0)
	left(850)
	h.again(150, 6)
	left(850)
	h.now = h.now.Add(time.Second)
	h.says(0, events.Rank{Step: 151, ReportedAt: h.now})
	left(849)
	h.says(0, events.Rank{Step: 250, ETASec: 250, ReportedAt: h.now.Add(time.Second)})
	left(750)
	h.e.rec.Job.Spec.Checkpoint.Resume = functions.ResumeNever
	h.again(250, 0)
	left(1000)
}

// A job ends before its cost and that of its grace exceed the bound, whichever names it.
func TestTheCostIsABound(t *testing.T) {
	for name, bounded := range map[string]functions.JobSpec{
		"goal":   {Goal: functions.Goal{Within: functions.Duration(time.Hour), MaxCost: "0.1"}},
		"budget": {Budget: functions.JobBudget{MaxCost: "0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := elastic(bounded.Goal)
			spec.Budget = bounded.Budget
			h := newHall(t, spec, 1)
			const bound = 0.1 / 2 * 3600 // seconds on one GPU
			h.hears((bound-30-2)*time.Second, 1)
			if got := h.asked(t, job.BudgetOut); len(got) > 0 {
				t.Fatalf("at %.3f USD it is told to go", h.view(h.e, nil).Time.USD)
			}
			h.hears(10*time.Second, 1)
			if got := h.asked(t, job.BudgetOut); len(got) != 1 {
				t.Errorf("at %.3f USD of 0.1 it is told %d times to go", h.view(h.e, nil).Time.USD, len(got))
			}
			h.box.Wait()
			warned := 0
			for len(h.said) > 0 {
				if <-h.said == "job/budget-near" {
					warned++
				}
			}
			if warned != 1 {
				t.Errorf("people are warned %d times", warned)
			}
			if why := h.tooPoor(spec); why != "" {
				t.Errorf("it pays for an attempt, and people are told %q", why)
			}
			spec.Checkpoint.Interval = functions.Duration(10 * time.Minute)
			if why := h.tooPoor(spec); !strings.Contains(why, "0.10 USD end before anything is saved: the smallest gang costs 0.35 USD") {
				t.Errorf("it does not, and people are told %q", why)
			}
		})
	}
}

func TestABoundInMoneyNeedsPrices(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{}), 1)
	j := functions.TrainingJob{Spec: elastic(functions.Goal{Within: functions.Duration(time.Hour), MaxCost: "1"})}
	j.Spec.Queue, j.Spec.Placement.Pool, j.Spec.Runtime.Local = functions.DefaultQueue, functions.DefaultPool, &functions.Local{}
	if errs := h.inadmissible(j); len(errs) > 0 {
		t.Errorf("with prices: %v", errs)
	}
	h.Spending = prices{}
	if errs := h.inadmissible(j); len(errs) != 1 || !strings.Contains(errs[0].Error(), "spec.goal.maxCost: no price is known of L4") {
		t.Errorf("without: %v", errs)
	}
}

// Whoever may not lose its machines does not get spot ones, and who wants only those is not left waiting for them.
func TestSpotIsForThoseThatMayLoseTheirMachines(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{}), 1)
	for _, c := range []struct {
		spot  bool
		use   functions.Use
		taken bool
	}{
		{false, functions.UseNever, true},
		{false, functions.UseAllowed, true},
		{false, functions.UseOnly, false},
		{true, functions.UseNever, false},
		{true, functions.UseAllowed, true},
		{true, functions.UseOnly, true},
	} {
		j := functions.TrainingJob{Spec: elastic(functions.Goal{})}
		j.Spec.Queue, j.Spec.Placement.Pool, j.Spec.Runtime.Local, j.Spec.Spot = functions.DefaultQueue, functions.DefaultPool, &functions.Local{}, c.use
		h.Spot = c.spot
		if errs := h.inadmissible(j); (len(errs) == 0) != c.taken {
			t.Errorf("spot %s where machines are spot is %t: %v", c.use, c.spot, errs)
		}
	}
}

// What a restart costs is told from the receipts, as soon as they show one.
func TestARestartCostsWhatTheLastOnesDid(t *testing.T) {
	at := func(s int) time.Time { return origin.Add(time.Duration(s) * time.Second) }
	e := &entry{}
	if got := e.restart(); got != restart {
		t.Errorf("nothing known: %v", got)
	}
	e.Attempts = []api.Attempt{{Placed: at(0), Started: at(40), Noticed: at(100), Released: at(103)}, {Placed: at(200), Started: at(205)}, {Placed: at(300)}}
	if got := e.restart(); got != 8*time.Second {
		t.Errorf("it takes %v, want 5 s to start and 3 s to leave", got)
	}
}
