package dispatch

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
)

// twins is a dispatcher of two nodes whose two GPUs each have the same names, as Kubernetes counts them.
func twins(t *testing.T, products ...string) (*Dispatcher, *scale.Ledger) {
	t.Helper()
	var l scale.Ledger
	var devices []scale.Device
	for i, product := range products {
		for _, id := range []string{"gpu-00", "gpu-01"} {
			devices = append(devices, scale.Device{ID: id, Node: string(rune('a' + i)), Product: product, Healthy: true})
		}
	}
	l.SetInventory(nil, devices, origin)
	d := New(Options{
		Workflows: &clerk{}, Ledger: still{l: l}, Provider: local{}, Guaranteed: -1, Shortage: func() int { return 0 },
		Spending: prices{"H100": 4, "L4": 1}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return origin },
	})
	_, end := d.box.Begin(t.Context())
	t.Cleanup(end)
	d.planner.saving = true // nothing stores it here
	d.see(origin)
	return d, &l
}

// waiting is a job in the queue for so many nodes with two GPUs each.
func waiting(d *Dispatcher, name string, nodes int) *entry {
	rec := events.JobRecord{UID: name, Submitted: origin}
	rec.Job.Metadata = functions.Metadata{Namespace: "ns", Name: name}
	rec.Job.Spec.Resources = functions.JobResources{Nodes: nodes, GPUsPerNode: 2}
	e := newEntry(rec.Job.Key(), rec, 1)
	e.Life.Phase = job.Queued
	d.jobs[e.key] = e
	return e
}

func TestGPUsOfOneNameAreToldApartByTheirNodes(t *testing.T) {
	for node, want := range map[string]struct {
		product string
		perHour float64
	}{"a": {"H100", 4}, "b": {"L4", 1}} {
		d, l := twins(t, "H100", "L4")
		e := waiting(d, "train", 1)
		e.Life.Generation, e.Life.Phase = 1, job.Running
		e.Life.Gang = &job.Gang{Nodes: 1, Placed: origin, Started: origin}
		l.Leases = []scale.Lease{{Holder: e.gang(1, 1).RankID(0), Owner: activities.JobOwner(e.key), Node: node, State: scale.Bound, Devices: []string{"gpu-00", "gpu-01"}}}
		e.placed.On = []string{node}
		d.Ledger = still{l: *l}
		s, _ := d.snapshot(origin)
		if s.GPUs != 4 || len(s.Nodes) != 2 || s.Jobs[0].Product != want.product {
			t.Errorf("with %s held: %d GPUs on %+v, of the job %s", node, s.GPUs, s.Nodes, s.Jobs[0].Product)
		}
		if d.charge(e); e.attempt(1).PerHour != want.perHour {
			t.Errorf("on %s it costs %v an hour, want %v", node, e.attempt(1).PerHour, want.perHour)
		}
	}
}

// Between a plan and its leases the GPUs are given away, once.
func TestGPUsOfAJobThatWasLetInAreNotFree(t *testing.T) {
	d, _ := twins(t, "L4", "L4")
	first, second := waiting(d, "a", 1), waiting(d, "b", 2)
	d.carryOut(first, jobs.Step{Action: jobs.Admit, Ranks: 1, Nodes: []string{"a"}})
	s, entries := d.snapshot(origin)
	if s.GPUs != 4 || len(s.Jobs[0].On) != 1 {
		t.Errorf("%d GPUs are training's, and the first job is on %v", s.GPUs, s.Jobs[0].On)
	}
	plan, _ := jobs.Explain(&jobs.History{}, s)
	for _, step := range plan.Steps {
		if entries[step.Index] == second && !step.Later {
			t.Errorf("half of what the second is given is the first's: %+v", step)
		}
	}
}

// Inference says how long it can wait for what it has lent.
func TestWhoGivesBackTooLateGetsNoLoan(t *testing.T) {
	d, _ := twins(t, "L4")
	d.GiveBack = time.Minute
	e := waiting(d, "train", 1)
	spec := &e.rec.Job.Spec
	spec.Preemption.Preemptible, spec.Queue, spec.Placement.Pool, spec.Runtime.Local = true, functions.DefaultQueue, functions.DefaultPool, &functions.Local{}
	for _, c := range []struct {
		seconds int
		borrow  functions.Use
		lent    int
		refused bool
	}{
		{60, functions.UseAllowed, 2, false}, {60, functions.UseOnly, 2, false},
		{61, functions.UseAllowed, 0, true}, {61, functions.UseOnly, 0, true}, // submitted while more was allowed
		{0, functions.UseNever, 0, false},
	} {
		spec.Borrow = functions.Borrow{IdleInference: c.borrow, MaxGiveBackSeconds: c.seconds}
		s, _ := d.snapshot(origin)
		plan, _ := jobs.Explain(&jobs.History{}, s)
		lent := 0
		for _, step := range plan.Steps {
			lent += step.Lent
		}
		if errs := d.inadmissible(e.rec.Job); lent != c.lent || len(errs) > 0 != c.refused {
			t.Errorf("%d s, %s: %d GPUs are lent, want %d; refused: %v", c.seconds, c.borrow, lent, c.lent, errs)
		}
	}
}

// A job whose bound was taken in with prices does not run beyond it on a platform that has none.
func TestABoundThatNobodyCanHoldKeepsAJobWaiting(t *testing.T) {
	d, _ := twins(t, "L4")
	d.Checkpoints = &Checkpoints{Root: t.TempDir()}
	e := waiting(d, "train", 1)
	e.rec.Job.Spec.Budget.MaxCost = "10"
	if _, entries := d.snapshot(origin); len(entries) != 1 {
		t.Errorf("with prices %d jobs are planned", len(entries))
	}
	d.Spending = prices{}
	if _, entries := d.snapshot(origin); len(entries) != 0 {
		t.Errorf("without prices %d jobs are planned", len(entries))
	}
	if v := d.view(e, nil); !strings.Contains(v.Trouble, "no price is known of L4; give one with stoker up --prices") {
		t.Errorf("people read %q", v.Trouble)
	}
}

// A gang on loan does not begin before its loan is stored: after a kill nobody would know that it is one.
func TestALoanIsInTheBookBeforeItsGangBegins(t *testing.T) {
	d, _ := twins(t, "L4")
	c := &clerk{fresh: true}
	learned := &drawer[json.RawMessage]{power: &power{left: 2}, there: map[string]events.Entry[json.RawMessage]{}}
	d.Workflows, d.Learned = c, learned
	e := waiting(d, "train", 1)
	e.unstarted = true
	d.carryOut(e, jobs.Step{Action: jobs.Admit, Ranks: 1, Nodes: []string{"a"}, Lent: 2, Until: origin.Add(time.Hour)})
	if d.tell(e); len(c.starts) > 0 || e.telling {
		t.Fatal("it begins before that")
	}
	for len(c.starts) == 0 {
		select {
		case f := <-d.box.In():
			f()
		case <-time.After(time.Minute):
			t.Fatal("it never begins")
		}
		d.box.Wait()
	}
	if string(learned.there[loansKey].Value) == "" || len(c.starts) != 1 {
		t.Errorf("started %d times with %s in the book", len(c.starts), learned.there[loansKey].Value)
	}
}

// Jobs wait in the order in which they were submitted, whichever of their workflows began first.
func TestJobsWaitInTheOrderOfTheirSubmission(t *testing.T) {
	d, _ := twins(t, "L4")
	second, first := waiting(d, "a", 1), waiting(d, "b", 1)
	second.rec.Submitted = origin.Add(1)
	second.Life.Submitted, first.Life.Submitted = origin, origin.Add(time.Second)
	if s, entries := d.snapshot(origin.Add(time.Minute)); entries[0] != first || !s.Jobs[0].Submitted.Equal(origin) {
		t.Errorf("first is %s, submitted at %v", entries[0].key, s.Jobs[0].Submitted)
	}
}
