package dispatch

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
	"stoker.dev/stoker/scale/jobs/loan"
)

// loanSpan is how long idle GPUs are lent for while nothing is known of a day of inference. A loan that
// is over is extended while they stay idle.
const loanSpan = time.Hour

// restart is the time on its GPUs that a preemption costs a job beside the work that is not
// committed, before that was measured: the end, the start and reading the checkpoint.
const restart = 30 * time.Second

// learnedKey is where what jobs have taught is kept.
const learnedKey = "learned"

// learned is what jobs that ended and gangs that left have taught.
type learned struct {
	History jobs.History `json:"history"`
	Drains  jobs.Drains  `json:"drains"`
	Demand  loan.Demand  `json:"demand"` // for GPUs, by inference
	// Usage is what each queue has used, by its name.
	Usage map[string]jobs.Usage `json:"usage,omitempty"`
}

// forget drops a part of it, what was not used for longest; false: there is nothing to be dropped.
func (l *learned) forget() bool {
	classes, programs := l.History.Forget(), l.Drains.Forget()
	return classes || programs
}

// planner is what plans are made with.
type planner struct {
	learned
	kept
}

// plan asks who should hold which GPUs now, and has it carried out.
func (d *Dispatcher) plan() {
	defer d.others() // who was told nothing by the plan is told what else there is, and new jobs begin
	defer func() { close(d.nextPlan); d.nextPlan = make(chan struct{}) }()
	now := d.Now()
	if d.frozen || now.Sub(d.began) < unknownPatience && d.anyUnknown() {
		return
	}
	d.see(now)
	s, entries := d.snapshot(now)
	d.count(&s)
	if len(entries) == 0 {
		return
	}
	plan, waiting := jobs.Explain(&d.planner.History, s)
	for _, e := range d.jobs {
		e.waiting = nil
	}
	for i := range waiting {
		entries[waiting[i].Index].waiting = &waiting[i]
	}
	for _, step := range plan.Steps {
		if !step.Later {
			d.carryOut(entries[step.Index], step)
		}
	}
}

// anyUnknown tells whether there is a job of which nobody knows yet what it holds, after a restart.
func (d *Dispatcher) anyUnknown() bool {
	for _, e := range d.jobs {
		if e.unknown {
			return true
		}
	}
	return false
}

// carryOut tells the job what the plan has for it.
func (d *Dispatcher) carryOut(e *entry, s jobs.Step) {
	gang := job.Event{Generation: e.Life.Generation}
	switch s.Action {
	case jobs.Extend:
		d.extend(e, s.Until)
		return
	case jobs.Redeem:
		d.redeem(e)
		return
	case jobs.Admit:
		gang.Kind, gang.Nodes = job.Admit, s.Ranks
		d.Claims.Coming(e.key)
		d.lend(e, s.Lent, s.Until)
	case jobs.Preempt:
		gang.Kind, gang.Cause = job.Leave, job.CausePreempted
	case jobs.Recall:
		gang.Kind, gang.Cause, gang.KillBy = job.Leave, job.CauseRecalled, s.KillAt
	case jobs.Resize:
		gang.Kind, gang.Cause, gang.Nodes, gang.KillBy = job.Leave, job.CauseResized, s.Ranks, s.KillAt
	}
	if !s.KillAt.IsZero() {
		d.recall(e, s)
	}
	d.Log.Info("plan", "job", e.key.String(), "action", s.Action, "reason", s.Reason, "ranks", s.Ranks, "lent", s.Lent, "for", s.For)
	e.planned = planned{generation: e.Life.Generation, action: s.Action, ranks: s.Ranks, on: s.Nodes}
	e.tellLater(gang)
	d.tell(e)
}

// planned is what a plan had for a gang and the workflow has not confirmed yet.
type planned struct {
	generation uint64
	action     jobs.Action
	ranks      int
	on         []string // the node of each rank of a gang that is let in
}

// under tells whether a job is in the hands of a plan that was just made.
func (e *entry) under() (planned, bool) {
	p := e.planned
	if p.action == "" || p.generation != e.Life.Generation {
		return planned{}, false
	}
	waits := e.Life.Phase == job.Queued || e.Life.Phase == job.Validated
	return p, waits == (p.action == jobs.Admit) && e.Life.Phase != job.Draining
}

// snapshot is the pool and the jobs as plans see them, and whose job each is.
func (d *Dispatcher) snapshot(now time.Time) (jobs.Snapshot, []*entry) {
	var entries []*entry
	for _, e := range d.jobs {
		waits := e.Life.Phase == job.Queued || e.Life.Phase == job.Validated // which it is for a moment
		if !e.unknown && (waits && d.unpriced(e.rec.Job.Spec) == nil || e.Life.Phase.Holds()) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b *entry) int {
		return cmp.Or(a.rec.Submitted.Compare(b.rec.Submitted), strings.Compare(a.key.String(), b.key.String()))
	})
	s := jobs.Snapshot{Now: now, Lender: jobs.Lender{Tolerance: d.GiveBack}}
	own, lent := 0, 0
	for _, e := range entries {
		j := d.job(e, now)
		d.aim(e, &j, now)
		j.Drain = d.planner.Drains.Of(j.User, j.Name, e.rec.Job.Spec.Preemption.Grace.D())
		if d.Guaranteed < 0 && j.Borrow == functions.UseAllowed && d.lends(j.GiveBack) { // nothing is training's alone, so all that it may borrow it does
			j.Borrow = functions.UseOnly
		}
		s.Jobs = append(s.Jobs, j)
		if j.Running() {
			lent += j.Lent
			own += j.GPUs - j.Lent
		}
	}
	free := d.nodes(&s, entries)
	for i := range s.Jobs {
		if j := &s.Jobs[i]; !slices.ContainsFunc(s.Nodes, func(n jobs.Node) bool { return !slices.Contains(j.Avoid, n.Name) }) {
			j.Avoid = nil // there is nowhere else
		}
	}
	short := d.Shortage()
	// What functions wait for is not given away. Beyond the guarantee GPUs are inference's, and are lent.
	s.GPUs = max(own, own+free-short)
	if d.Guaranteed >= 0 {
		s.GPUs = max(own, min(s.GPUs, d.Guaranteed))
	}
	reserved := 0
	if d.Guaranteed >= 0 {
		reserved = s.GPUs - own
	}
	if idle := lent + free - reserved - short; idle > 0 {
		s.Lender.Offers = d.offers(idle, now)
	}
	return s, entries
}

// lends tells whether GPUs are lent to who gives them back within so long.
func (d *Dispatcher) lends(giveBack time.Duration) bool {
	return d.GiveBack == 0 || giveBack <= d.GiveBack
}

// offers are how many of the idle GPUs may be on loan until when: by what inference wanted at this time
// of the days before, and while not one day is known until [loanSpan] is over.
func (d *Dispatcher) offers(idle int, now time.Time) []jobs.Offer {
	wanted := d.planner.Demand.Last
	if !d.planner.Demand.Knows(now) {
		return []jobs.Offer{{GPUs: idle, Until: now.Add(loanSpan)}}
	}
	offers := d.planner.Demand.Offers(wanted+idle, wanted, now)
	for i := range offers {
		offers[i].GPUs = min(offers[i].GPUs, idle)
	}
	return offers
}

// see takes in what inference holds and goes short of.
func (d *Dispatcher) see(now time.Time) {
	wanted := d.Shortage()
	for _, l := range d.Ledger.Newest().Leases {
		if l.State != scale.Released && !activities.OwnedByJob(l) {
			wanted += len(l.Devices)
		}
	}
	demand := &d.planner.Demand
	end := demand.Began + int64(len(demand.Most))
	demand.See(wanted, now)
	if demand.Began+int64(len(demand.Most)) != end { // every five minutes
		d.saveLearned()
	}
}

// nodes adds where GPUs lie that jobs hold or could, and returns how many are free.
func (d *Dispatcher) nodes(s *jobs.Snapshot, entries []*entry) (free int) {
	l := d.Ledger.Newest()
	unknown := map[string]bool{} // what they hold is not to be planned with
	for _, e := range d.jobs {
		if e.unknown {
			unknown[activities.JobOwner(e.key)] = true
		}
	}
	product := map[string]string{} // of the GPUs of each owner
	held := map[string]int{}       // by each owner
	type shelf struct{ node, product string }
	at := map[shelf]*jobs.Node{}
	l.Each(func(dev scale.Device, x *scale.Lease, usable bool) {
		switch {
		case x == nil && usable:
			free++
		case x != nil && activities.OwnedByJob(*x) && !unknown[x.Owner]:
			product[x.Owner] = dev.Product
			held[x.Owner]++
		default:
			return
		}
		k := shelf{dev.Node, dev.Product}
		if at[k] == nil {
			at[k] = &jobs.Node{Name: dev.Node, Product: dev.Product, Memory: dev.Memory}
		}
		at[k].GPUs++
	})
	keys := slices.SortedFunc(maps.Keys(at), func(a, b shelf) int {
		return cmp.Or(strings.Compare(a.node, b.node), strings.Compare(a.product, b.product))
	})
	for _, k := range keys {
		s.Nodes = append(s.Nodes, *at[k])
	}
	for i := range s.Jobs {
		j, owner := &s.Jobs[i], activities.JobOwner(entries[i].key)
		j.Product = product[owner]
		if j.Running() && entries[i].Life.Gang == nil { // it was let in a moment ago, and may have no leases yet
			free -= max(0, j.GPUs-held[owner])
		}
	}
	return free
}

// job is an entry as plans see it, with its queue and what it has on loan.
func (d *Dispatcher) job(e *entry, now time.Time) jobs.Job {
	j := e.job(now)
	j.Queue = d.Queues.of(e.rec.Job)
	if !j.Running() {
		return j
	}
	if l, open := d.loans.Find(e.loan()); open {
		j.Lent, j.LentUntil = min(l.GPUs, j.GPUs), l.Until
	}
	return j
}

// job is an entry as plans see it, by itself.
func (e *entry) job(now time.Time) jobs.Job {
	spec := e.rec.Job.Spec
	sizes := spec.Sizes()
	j := jobs.Job{
		ID: e.key.String(), User: e.user(), Name: program(e.key.Name), Priority: spec.Priority, Submitted: e.rec.Submitted,
		Preemptible: spec.Preemption.Preemptible, MinRuntime: spec.Preemption.MinRuntime.D(), Loss: spec.Checkpoint.Interval.D()/2 + e.restart(),
		Products: spec.Resources.Products, Memory: spec.Resources.GPUMem.Bytes(), Avoid: e.Life.Avoid,
		Borrow: spec.Borrow.IdleInference, GiveBack: spec.Borrow.MaxGiveBack(),
		Resizing: e.Life.Wanted, Ranks: sizes[0],
	}
	if len(sizes) > 1 {
		j.Sizes = sizes
	}
	e.attained(&j)
	if e.Life.Wanted > 0 {
		j.Ranks = e.Life.Wanted
	}
	next, under := e.under()
	switch g := e.Life.Gang; {
	case g != nil:
		j.Ranks, j.Started, j.On = g.Nodes, cmp.Or(g.Placed, e.Life.Since), e.placed.On
		j.Leaving = e.Life.Phase == job.Draining || under
		if e.Life.Saved.Generation == e.Life.Generation {
			j.Saved = e.Life.Saved.At
		}
	case under: // let in just now
		j.Ranks, j.Started, j.On = next.ranks, now, next.on
	}
	if j.Leaving && (e.Life.Gang.Ask.Cause == job.CauseResized || under && next.action == jobs.Resize) {
		j.Resizing = max(e.Life.Wanted, next.ranks)
	}
	j.GPUs = j.Ranks * e.perNode()
	return j
}

// user is whose jobs are like this one: of who submitted it, or of its namespace.
func (e *entry) user() string { return cmp.Or(e.rec.User, e.key.Namespace) }

// program is what jobs that are runs of one program have of their names: without the number at its end.
func program(name string) string {
	return cmp.Or(strings.TrimRight(strings.TrimRight(name, "0123456789"), "-"), name)
}

// attained adds what earlier gangs of the job had.
func (e *entry) attained(j *jobs.Job) {
	for _, a := range e.Attempts {
		if a.Released.IsZero() {
			continue
		}
		j.Attained += a.Released.Sub(a.Placed)
		if a.Class == job.ClassPreempted {
			j.Preemptions++
		}
	}
}

// ended learns from a job that has come to its end.
func (d *Dispatcher) ended(e *entry, before job.State) {
	if e.live() || before.Phase.Terminal() {
		return
	}
	e.waiting = nil
	if e.Life.Phase == job.Succeeded || e.Life.Phase == job.Failed || e.Life.Phase == job.Cancelled {
		last := e.job(d.Now())
		if before.Gang != nil {
			last.Ranks = before.Gang.Nodes
			last.GPUs = last.Ranks * e.perNode()
		}
		last.Started = time.Time{} // what it had is in Attained
		d.planner.History.Learn(last, d.Now())
		d.saveLearned()
	}
}

func (d *Dispatcher) saveLearned() { d.save(&d.planner.kept, &d.planner.learned) }

// largest is the largest gang that the pool could give a job if nobody else was there, in nodes.
func largest(l *scale.Ledger, spec functions.JobSpec) int {
	per := spec.Resources.GPUsPerNode
	if per == 0 {
		return functions.MaxNodes
	}
	ask := scale.Ask{GPUs: per, Products: spec.Resources.Products, Memory: spec.Resources.GPUMem.Bytes()}
	count := map[[2]string]int{}
	for _, dev := range l.Devices {
		if ask.Accepts(dev) && !dev.Missing {
			count[[2]string{dev.Node, dev.Product}]++
		}
	}
	n := 0
	for _, gpus := range count {
		n += gpus / per
	}
	return n
}
