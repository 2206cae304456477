package dispatch

import (
	"log/slog"
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
