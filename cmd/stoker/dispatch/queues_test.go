package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
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
)

// queue is one of a namespace, named default.
func queue(namespace string, guaranteed, most int) functions.JobQueue {
	q := functions.JobQueue{Metadata: functions.Metadata{Namespace: namespace, Name: functions.DefaultQueue}}
	q.Spec.Guaranteed, q.Spec.Max = guaranteed, most
	return functions.DefaultJobQueue(q)
}

// pool is a dispatcher with so many GPUs, whose loop is the test.
func pool(t *testing.T, gpus int, queues Queues) *Dispatcher {
	t.Helper()
	var l scale.Ledger
	var devices []scale.Device
	for i := range gpus {
		devices = append(devices, scale.Device{ID: fmt.Sprint(i), Node: "n", Product: "A", Healthy: true})
	}
	l.SetInventory(nil, devices, origin)
	d := New(Options{
		Ledger: still{l: l}, Guaranteed: gpus, Queues: queues, Workflows: &clerk{}, Spending: prices{}, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return origin }, Shortage: func() int { return 0 },
	})
	d.planner.saving = true // nothing stores it here
	_, end := d.box.Begin(t.Context())
	t.Cleanup(end)
	return d
}

// add adds a job of one GPU that waits.
func (d *Dispatcher) add(namespace, name string) *entry {
	rec := events.JobRecord{UID: name, Submitted: origin}
	rec.Job.Metadata = functions.Metadata{Namespace: namespace, Name: name}
	rec.Job = functions.DefaultJob(rec.Job)
	rec.Job.Spec.Resources.GPUsPerNode = 1
	rec.Job.Spec.Preemption.Preemptible = true
	e := newEntry(rec.Job.Key(), rec, 1)
	e.Life.Phase, e.Told, e.telling = job.Queued, true, true // what it is told stays in pending
	d.jobs[e.key] = e
	return e
}

// run lets a job hold a GPU for a day already, so that it can be preempted.
func (d *Dispatcher) run(e *entry) {
	since := origin.Add(-24 * time.Hour)
	e.Life.Submitted, e.Life.Since, e.Life.Phase = since, since, job.Running
	e.Life.Gang = &job.Gang{Nodes: 1, Placed: since, Started: since}
	e.placed.On = []string{"n"}
	l := d.Ledger.(still).l
	if _, err := l.Reserve(scale.Ask{Holder: e.rec.UID, Owner: activities.JobOwner(e.key), GPUs: 1}, time.Hour, origin); err != nil {
		panic(err)
	}
	d.Ledger = still{l: l}
}

// told are the kinds of events that wait to be told to a job.
func told(e *entry) (kinds []job.Kind) {
	for _, ev := range e.pending {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
}

func TestAGuaranteedShareIsGotBackFromABorrower(t *testing.T) {
	d := pool(t, 4, Queues{queue("a", 2, 0), queue("b", 2, 0)})
	var borrowers []*entry
	for i := range 4 {
		e := d.add("b", fmt.Sprint("b", i))
		d.run(e)
		borrowers = append(borrowers, e)
	}
	mine := []*entry{d.add("a", "a0"), d.add("a", "a1"), d.add("a", "a2")}
	d.plan()
	leaving := 0
	for _, e := range borrowers {
		for _, ev := range e.pending {
			if ev.Kind != job.Leave || ev.Cause != job.CausePreempted {
				t.Errorf("%s is told %+v", e.key, ev)
			}
			leaving++
		}
	}
	if leaving != 2 {
		t.Errorf("%d borrowers make room for a guarantee of 2 GPUs", leaving)
	}
	for i, want := range []jobs.Block{jobs.BlockLeaving, jobs.BlockLeaving, jobs.BlockGPUs} {
		if w := mine[i].waiting; w == nil || w.Block != want {
			t.Errorf("%s waits as %+v, want %s", mine[i].key, w, want)
		}
	}
}

func TestABorrowingLimitHolds(t *testing.T) {
	d := pool(t, 4, Queues{queue("a", 1, 2), queue("b", 1, 0)})
	stays := d.add("a", "a0")
	stays.rec.Job.Spec.Preemption.Preemptible = false
	d.run(stays)
	in, out := d.add("a", "a1"), d.add("a", "a2")
	d.plan()
	if kinds := told(in); len(kinds) != 1 || kinds[0] != job.Admit {
		t.Errorf("within the limit it is told %v", kinds)
	}
	v := d.view(out, d.queueViews(origin))
	if len(out.pending) > 0 || v.Waiting == nil || v.Waiting.Block != string(jobs.BlockQuota) || v.Waiting.Queue.String() != "a/default" || v.Waiting.Queue.Max != 2 || v.Waiting.Queue.Held != 2 {
		t.Errorf("beyond the limit it is told %v, and waits as %+v", told(out), v.Waiting)
	}
}

// Of two queues with the same weight the one that has used less is served, also after a restart.
func TestFairShareOverTimeOutlivesARestart(t *testing.T) {
	now := origin
	d := pool(t, 1, Queues{queue("a", 0, 0), queue("b", 0, 0)})
	d.Now = func() time.Time { return now }
	first := d.add("a", "a0")
	d.run(first)
	d.plan()
	now = now.Add(10 * time.Hour)
	d.plan()
	if v := d.queueViews(now)["a/default"]; v.GPUHours < 9 || v.GPUHours > 10 {
		t.Errorf("10 hours on one GPU are %v GPU-hours", v.GPUHours)
	}
	data, err := json.Marshal(d.planner.learned)
	if err != nil {
		t.Fatal(err)
	}

	again := pool(t, 1, d.Queues)
	again.Now = d.Now
	if err := json.Unmarshal(data, &again.planner.learned); err != nil {
		t.Fatal(err)
	}
	early, late := again.add("a", "a1"), again.add("b", "b1")
	late.Life.Submitted = origin.Add(time.Hour)
	again.plan()
	if len(told(early)) != 0 || len(told(late)) != 1 {
		t.Errorf("the queue that has used the GPU is told %v, the other %v", told(early), told(late))
	}
}

func TestAQueueThatDoesNotExistIsRefusedWithWhatDoes(t *testing.T) {
	data, err := os.ReadFile("../../../deploy/queues/teams.yaml")
	if err != nil {
		t.Fatal(err)
	}
	qs, err := ParseQueues("teams.yaml", data, 6)
	if err != nil {
		t.Fatal(err)
	}
	of := func(namespace, name string, gpus int) functions.TrainingJob {
		j := functions.TrainingJob{Metadata: functions.Metadata{Namespace: namespace, Name: "train"}}
		j.Spec.Queue, j.Spec.Resources.GPUsPerNode = name, gpus
		return functions.DefaultJob(j)
	}
	for _, c := range []struct{ namespace, queue, of, refused string }{
		{"research", "sweeps", "research/sweeps", ""},
		{"elsewhere", "default", "default", ""},
		{"research", "sweep", "default", `job research/train: spec.queue: namespace research has no queue "sweep"; allowed: default, sweeps; did you mean sweeps?`},
		{"elsewhere", "sweeps", "default", `job elsewhere/train: spec.queue: namespace elsewhere has no queue "sweeps"; allowed: default; name one of them`},
	} {
		j := of(c.namespace, c.queue, 1)
		var refused string
		if errs := qs.refuse(j); len(errs) > 0 {
			refused = errs[0].Error()
		}
		if got := qs.of(j); got != c.of || refused != c.refused {
			t.Errorf("%s in %s waits in %s, refused: %s", c.queue, c.namespace, got, refused)
		}
	}
	if errs := qs.refuse(of("research", "sweeps", 3)); len(errs) != 1 || !strings.Contains(errs[0].Error(), "allowed: up to the 2 that queue research/sweeps may hold") {
		t.Errorf("larger than its queue: %v", errs)
	}
	if _, err := ParseQueues("teams.yaml", data, 5); err == nil || !strings.Contains(err.Error(), "allowed: up to the 5 that training has") {
		t.Errorf("more is guaranteed than there is: %v", err)
	}
}

func TestQueuesAreListedForWhoMayWaitInThem(t *testing.T) {
	d := pool(t, 1, Queues{queue("a", 1, 0)})
	served, end := context.WithCancel(t.Context())
	defer end()
	go func() {
		for {
			select {
			case f := <-d.box.In():
				f()
			case <-served.Done():
				return
			}
		}
	}()
	for namespace, want := range map[string]string{"a": "[a/default]", "b": "[default]", "": "[default a/default]"} {
		list, err := d.JobQueues(t.Context(), namespace)
		if got := fmt.Sprint(names(list)); err != nil || got != want {
			t.Errorf("those of %q are %s, %v; want %s", namespace, got, err, want)
		}
	}
}

func names(list []api.JobQueue) (out []string) {
	for _, q := range list {
		out = append(out, q.String())
	}
	return out
}
