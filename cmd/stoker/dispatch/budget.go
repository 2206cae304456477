package dispatch

import (
	"fmt"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// nearBudget is the share of what a job may cost at which people are warned: early enough to raise it by a
// new submission, late enough not to be passed over.
const nearBudget = 0.8

// overspent has a job go that has used up what it may cost, and warns of it before. Its grace costs as well,
// so it is told before.
func (d *Dispatcher) overspent(e *entry, now time.Time) {
	g := e.Life.Gang
	if g == nil || g.Placed.IsZero() || g.Ask.Cause.Final() || e.broke == e.Life.Generation {
		return
	}
	most, bounded := maxUSD(e.rec.Job.Spec)
	if !bounded {
		return
	}
	spent := e.time(now).USD
	if spent >= nearBudget*most && !e.Warned {
		e.Warned = true
		d.warn(e, spent, most)
	}
	grace := float64(g.Nodes*e.perNode()) * e.rec.Job.Spec.Preemption.Grace.D().Hours() * e.attempt(e.Life.Generation).PerHour
	if spent+grace < most {
		return
	}
	e.broke = e.Life.Generation
	e.tellLater(job.Event{Kind: job.BudgetOut})
}

// warn tells people that a job has used most of what it may cost. After a kill they may be told again.
func (d *Dispatcher) warn(e *entry, spent, most float64) {
	data := jobEvent{UID: e.rec.UID, Phase: e.Life.Phase, Cause: e.Life.Cause, Generation: e.Life.Generation, Attempt: e.Life.Attempts, USD: spent, MaxUSD: most}
	d.notify(e, functions.JobBudgetNear, data)
	d.emit(e, string(functions.JobBudgetNear), data)
}

// tooPoor warns of a bound that does not pay for one attempt that saves something: the smallest gang until
// its first checkpoint, and its grace. Empty: it does.
func (d *Dispatcher) tooPoor(spec functions.JobSpec) string {
	most, bounded := maxUSD(spec)
	perHour, err := d.dearest(spec)
	if !bounded || err != nil || spec.Resources.GPUsPerNode == 0 {
		return ""
	}
	gpus := spec.Sizes()[0] * spec.Resources.GPUsPerNode
	until := spec.Checkpoint.Interval.D() + spec.Preemption.Grace.D()
	needs := float64(gpus) * perHour * until.Hours()
	if needs <= most {
		return ""
	}
	return fmt.Sprintf("maxCost: %.2f USD end before anything is saved: the smallest gang costs %.2f USD until its first checkpoint (checkpoint.interval is %s) and in its grace; raise it, or lower the interval",
		most, needs, spec.Checkpoint.Interval)
}
