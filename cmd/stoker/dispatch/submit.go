package dispatch

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
)

// newUID tells a job from others that had or will have its name. It is part of the names of processes
// and Pods, so it is short; that two are the same is refused by nobody, and needs a million jobs of one name.
func newUID() string {
	var b [5]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// Submit implements [api.Jobs].
func (d *Dispatcher) Submit(ctx context.Context, js []functions.TrainingJob, from api.Origin, dryRun bool) ([]api.Submitted, error) {
	plans := make([]submission, len(js))
	var problems []error
	err := d.box.Call(ctx, func() {
		taken := map[functions.Key]bool{}
		for i, j := range js {
			plans[i] = d.admit(j, from)
			plans[i].rec.Submitted = plans[i].rec.Submitted.Add(time.Duration(i)) // they wait in their order
			if taken[j.Key()] {
				plans[i].refused = append(plans[i].refused, fmt.Errorf("job %s: it is there twice in one submission; give each a name of its own", j.Key()))
			}
			taken[j.Key()] = true
			problems = append(problems, plans[i].refused...)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(problems...); err != nil {
		return nil, &api.Error{Code: 422, Cause: "not-admissible", Message: err.Error()}
	}
	out := make([]api.Submitted, len(plans))
	for i := range plans {
		out[i] = plans[i].answer
	}
	if dryRun {
		return out, nil
	}
	if err := d.storeAll(ctx, plans); err != nil {
		return nil, err
	}
	for i := range plans {
		if !plans[i].known {
			out[i].UID = plans[i].rec.UID // or that of an earlier try, which got through
		}
	}
	return out, d.begin(context.WithoutCancel(ctx), plans, out)
}

// submission is one job on its way in.
type submission struct {
	rec     events.JobRecord
	rev     uint64
	known   bool // the same was submitted before
	stored  bool // by this submission
	refused []error
	answer  api.Submitted
}

// admit checks a job against what is there.
func (d *Dispatcher) admit(j functions.TrainingJob, from api.Origin) submission {
	k := j.Key()
	s := submission{
		rec:    events.JobRecord{Job: j, UID: newUID(), Source: from.Source, EventID: from.ID, User: from.User, Submitted: cmp.Or(from.At, d.Now())},
		answer: api.Submitted{Key: k, Action: "created"},
	}
	s.answer.UID = s.rec.UID
	if old := d.jobs[k]; old != nil {
		same := from.ID != "" && old.rec.Source == from.Source && old.rec.EventID == from.ID
		switch {
		case old.rec.Deleting:
			s.refused = append(s.refused, fmt.Errorf("job %s is being removed; submit again once `stoker job list` no longer shows it", k))
		case same || from.ID == "" && old.live() && reflect.DeepEqual(old.rec.Job, j):
			s.known = true
			s.answer = api.Submitted{Key: k, UID: old.rec.UID, Action: "unchanged"}
			s.answer.Phase, s.answer.Position = old.stands()
		case old.live():
			s.refused = append(s.refused, fmt.Errorf("job %s is %s already; give this one another name, or cancel that one with `stoker job cancel %s`", k, old.Life.Phase, k))
		default:
			s.refused = append(s.refused, fmt.Errorf("job %s has %s; give this one another name, or remove that one with `stoker job delete %s`", k, old.Life.Phase, k))
		}
	}
	s.refused = append(s.refused, d.inadmissible(j)...)
	s.answer.Warning = d.tooPoor(j.Spec)
	return s
}

// unfitForPods is why a job can have no Pods.
func (d *Dispatcher) unfitForPods(spec functions.JobSpec, refuse func(path, format string, args ...any)) {
	root, uri := d.Checkpoints.Root, spec.Checkpoint.URI
	if spec.Runtime.Image == "" {
		refuse("spec.runtime.image", "missing: this platform runs images on Kubernetes and no local processes; add image: NAME")
	}
	if len(spec.Runtime.Command) == 0 {
		refuse("spec.runtime.command", "missing: the agent starts the program, and cannot read an image's entrypoint; add command: [...]")
	}
	switch {
	case root == "":
		refuse("spec.checkpoint", "this platform has no volume for checkpoints; start it with --kube-checkpoints CLAIM")
	case uri != "" && !strings.HasPrefix(named(uri), root+"/"):
		refuse("spec.checkpoint.uri", "%q is not below %s, where this platform mounts the volume for checkpoints; allowed: file://%s/..., or none, for a directory of the job's own", uri, root, root)
	}
}

// inadmissible is why the platform will never run a job.
func (d *Dispatcher) inadmissible(j functions.TrainingJob) []error {
	var out []error
	refuse := func(path, format string, args ...any) {
		out = append(out, fmt.Errorf("job %s: %s: %s", j.Key(), path, fmt.Sprintf(format, args...)))
	}
	spec := j.Spec
	out = append(out, d.Queues.refuse(j)...)
	switch name := d.Provider.Name(); {
	case name == "kubernetes":
		d.unfitForPods(spec, refuse)
	case name == "local" && spec.Runtime.Local == nil:
		refuse("spec.runtime.local", "missing: this platform runs local processes and no images; add local: {command: [...]}")
	}
	if spec.Placement.Pool != functions.DefaultPool {
		refuse("spec.placement.pool", "there is no pool %q; allowed: %s", spec.Placement.Pool, functions.DefaultPool)
	}
	if b := spec.Borrow; b.IdleInference != functions.UseNever && !d.lends(b.MaxGiveBack()) {
		refuse("spec.borrow.maxGiveBackSeconds", "%d, and inference waits for GPUs that it has lent for %s at most (stoker up --loan-give-back); write at most %d, with a shorter spec.preemption.grace, or idleInference: never",
			b.MaxGiveBackSeconds, d.GiveBack, int(d.GiveBack.Seconds()))
	}
	switch {
	case spec.Spot == functions.UseOnly && !d.Spot:
		refuse("spec.spot", "only, and no machine here is spot; write allowed, or submit it to a platform whose pool has plan: spot in the file of --prices")
	case spec.Spot == functions.UseNever && d.Spot:
		refuse("spec.spot", "never, and the machines here are spot (the plan of the pool in the file of --prices); write allowed, which means that it may lose its nodes at any moment and goes on from its last checkpoint")
	}
	for _, bound := range []struct {
		path string
		most functions.Quantity
	}{{"spec.goal.maxCost", spec.Goal.MaxCost}, {"spec.budget.maxCost", spec.Budget.MaxCost}} {
		if bound.most == "" || spec.Resources.GPUsPerNode == 0 {
			continue
		}
		if _, err := d.dearest(spec); err != nil {
			refuse(bound.path, "%v", err)
		}
	}
	least := spec.Sizes()[0]
	if most := largest(d.Ledger.Newest(), spec); least > most {
		refuse("spec.resources", "%d nodes with %d GPUs each are more than there are; the largest possible here is %d nodes; lower nodes or gpusPerNode, or add GPUs",
			least, spec.Resources.GPUsPerNode, most)
	}
	return out
}

// storesAtOnce is how many jobs of a submission are written at a time; they share the syncs of the disk.
const storesAtOnce = 32

// storeAll writes what is new of a submission down, or none of it: from here on it is accepted.
func (d *Dispatcher) storeAll(ctx context.Context, plans []submission) error {
	batch, err := d.openBatch(ctx, plans)
	if err != nil {
		return err
	}
	var group errgroup.Group // one that fails ends no other: what became of that would be unknown
	group.SetLimit(storesAtOnce)
	for i := range plans {
		if s := &plans[i]; !s.known {
			group.Go(func() error { return d.store(ctx, s) })
		}
	}
	if err = group.Wait(); err == nil {
		err = d.closeBatch(ctx, batch)
	}
	if err == nil {
		return nil
	}
	undoing := context.WithoutCancel(ctx)
	if d.unstore(undoing, plans) {
		err = errors.Join(err, d.closeBatch(undoing, batch))
	}
	return err
}

// store writes the record of one job.
func (d *Dispatcher) store(ctx context.Context, s *submission) error {
	key := events.StateKey(s.rec.Job.Key())
	rev, err := d.Records.Put(ctx, key, s.rec, 0)
	if rev > 0 { // written, though perhaps not to the disk
		s.rev, s.stored = rev, true
	}
	if errors.Is(err, events.ErrConflict) {
		there, now, getErr := d.Records.Get(ctx, key)
		if getErr == nil && s.same(there) { // an earlier try of this has got through
			s.rec, s.rev = there, now
			return nil
		}
		return &api.Error{Code: 409, Cause: "conflict", Message: fmt.Sprintf("job %s was submitted by somebody else just now", s.rec.Job.Key()), Hint: "look with `stoker job list`, then submit again"}
	}
	if err != nil {
		return fmt.Errorf("store job %s: %w", s.rec.Job.Key(), err)
	}
	return nil
}

// same tells whether a record is of this very submission.
func (s *submission) same(there events.JobRecord) bool {
	if s.rec.EventID != "" || there.EventID != "" {
		return there.Source == s.rec.Source && there.EventID == s.rec.EventID && !there.Deleting
	}
	return there.User == s.rec.User && !there.Deleting && reflect.DeepEqual(there.Job, s.rec.Job)
}

// unstore takes back what was stored of a submission that cannot be taken whole, and tells whether that is done. What
// is not, the next start takes back.
func (d *Dispatcher) unstore(ctx context.Context, plans []submission) bool {
	done := true
	for i := range plans {
		if s := &plans[i]; s.stored {
			if err := d.Records.Delete(ctx, events.StateKey(s.rec.Job.Key()), s.rev); err != nil {
				d.Log.Error("half of a submission is stored", "job", s.rec.Job.Key().String(), "error", err)
				done = false
			}
		}
	}
	return done
}

// begin puts what was stored into the queue, and says where each is once a plan has looked at all of them together.
// Their workflows begin with what that plan has for them.
func (d *Dispatcher) begin(ctx context.Context, plans []submission, out []api.Submitted) error {
	var planned <-chan struct{}
	err := d.box.Call(ctx, func() {
		for i := range plans {
			if s := &plans[i]; !s.known {
				d.enqueue(newEntry(s.rec.Job.Key(), s.rec, s.rev))
			}
		}
		d.planSoon()
		planned = d.nextPlan
	})
	if err != nil {
		return err
	}
	select {
	case <-planned:
	case <-time.After(planPatience):
	case <-ctx.Done():
	}
	return d.box.Call(ctx, func() {
		for i := range plans {
			if e := d.jobs[out[i].Key]; e != nil && e.rec.UID == out[i].UID {
				out[i].Phase, out[i].Position = e.stands()
			}
		}
	})
}

// enqueue takes a job in, unless another delivery of the same event already has.
func (d *Dispatcher) enqueue(e *entry) {
	if old := d.jobs[e.key]; old != nil && old.rec.UID == e.rec.UID {
		return
	}
	e.Life.Phase = job.Queued
	e.unstarted = true
	d.jobs[e.key] = e
}

// stands is where a job is, and its position if it waits for GPUs.
func (e *entry) stands() (job.Phase, int) {
	if p, under := e.under(); under && p.action == jobs.Admit {
		return job.Admitted, 0
	}
	if e.waiting != nil {
		return e.Life.Phase, e.waiting.Position
	}
	return e.Life.Phase, 0
}

// with has the loop do something with a job, if there is one of that name.
func (d *Dispatcher) with(ctx context.Context, k functions.Key, do func(*entry) error) error {
	var refused error
	err := d.box.Call(ctx, func() {
		var e *entry
		if e, refused = d.lookUp(k); refused == nil {
			refused = do(e)
		}
	})
	if err != nil {
		return err // the loop may still be at it
	}
	return refused
}

// lookUp is the entry of a job, or an error for people.
func (d *Dispatcher) lookUp(k functions.Key) (*entry, error) {
	if e := d.jobs[k]; e != nil && !e.rec.Deleting {
		return e, nil
	}
	var names []string
	for other := range d.jobs {
		names = append(names, other.String())
	}
	hint := "`stoker job list` shows what there is"
	if near := functions.Closest(k.String(), names); near != "" && strings.HasPrefix(near, k.Namespace+"/") {
		hint = "did you mean " + near + "?"
	}
	return nil, &api.Error{Code: 404, Cause: "not-found", Message: "there is no job " + k.String(), Hint: hint}
}
