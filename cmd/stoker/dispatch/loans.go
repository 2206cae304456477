package dispatch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
	"stoker.dev/stoker/scale/jobs/loan"
)

const (
	// loansKey is where the book of loans is kept.
	loansKey = "loans"
	// lender is who lends: functions lend what they leave idle, all of them together.
	lender = "functions"
)

// loans is the book of what jobs borrow. A loan is of one gang, from when that is admitted until nothing
// of it is left or own GPUs have taken the place of lent ones. The book alone says what is on loan.
type loans struct {
	loan.Book
	kept
}

// byOwner is how many GPUs each owner of leases has on loan.
func (l *loans) byOwner() map[string]int {
	out := map[string]int{}
	for _, x := range l.Open {
		namespace, name, _ := strings.Cut(x.Job, "/")
		out[activities.JobOwner(functions.Key{Namespace: namespace, Name: name})] += x.GPUs
	}
	return out
}

// loan is the name of the loan of a job's gang, or of the one it waits for.
func (e *entry) loan() string { return loanOf(e.UID, e.Life.Generation) }

func loanOf(uid string, generation uint64) string { return fmt.Sprintf("%s-%d", uid, generation) }

// booked stores the book after a change. The plan was made with what is in the book, so it does not refuse.
func (d *Dispatcher) booked(what, id string, err error) {
	if err != nil {
		d.Log.Error("the book of loans refuses a change", "what", what, "loan", id, "error", err)
		return
	}
	d.save(&d.loans.kept, &d.loans.Book)
	d.Spending.Lend(d.loans.byOwner())
}

// lend opens the loan of a gang that is admitted with so many GPUs on loan; 0: all are its own.
func (d *Dispatcher) lend(e *entry, gpus int, until time.Time) {
	if gpus > 0 {
		e.unbooked = true
		d.booked("lend", e.loan(), d.loans.Lend(loan.Loan{ID: e.loan(), Job: e.key.String(), Lender: lender, GPUs: gpus, Until: until}, d.Now()))
	}
}

// begunLoans has those told of their admission whose loans are in the book by now: a gang that ran without one would be
// taken for training's own after a kill.
func (d *Dispatcher) begunLoans() {
	for _, e := range d.jobs {
		if e.unbooked {
			e.unbooked = false
			d.tell(e)
		}
	}
}

func (d *Dispatcher) extend(e *entry, until time.Time) {
	d.booked("extend", e.loan(), d.loans.Extend(e.loan(), until))
}

// redeem ends a loan for which own GPUs are free.
func (d *Dispatcher) redeem(e *entry) {
	now := d.Now()
	if g := e.Life.Gang; g != nil && !g.Placed.IsZero() {
		e.attempt(e.Life.Generation).Redeemed = now
	}
	d.booked("redeem", e.loan(), d.loans.Release(e.loan(), string(jobs.Redeem), 0, now))
}

func (d *Dispatcher) recall(e *entry, s jobs.Step) {
	d.booked("recall", e.loan(), d.loans.Recall(e.loan(), string(s.Reason), s.KillAt, d.Now()))
}

// settle brings the loans of all jobs up to how these are now. It is derived from their states, so it may
// be repeated at any time; what happened while the platform was down is settled when it is back.
func (d *Dispatcher) settle() {
	if len(d.loans.Open) == 0 {
		return
	}
	for _, l := range d.loans.Overdue(d.Now()) {
		d.Log.Warn("a loan is overdue: its job is killed by its workflow", "job", l.Job, "gpus", l.GPUs, "deadline", l.Deadline)
		d.booked("overdue", l.ID, nil)
	}
	there := map[string]*entry{}
	for k, e := range d.jobs {
		there[k.String()] = e
	}
	for _, l := range d.loans.Open {
		if e := there[l.Job]; e != nil {
			d.settleLoan(e, l, e.Life)
		} else {
			d.booked("release", l.ID, d.loans.Release(l.ID, "removed", 0, d.Now()))
		}
	}
}

// settleJob does so for the loans of one job, of which it is known how it was before.
func (d *Dispatcher) settleJob(e *entry, before job.State) {
	for _, l := range d.loans.Open {
		if l.Job == e.key.String() {
			d.settleLoan(e, l, before)
		}
	}
}

func (d *Dispatcher) settleLoan(e *entry, l loan.Loan, before job.State) {
	if e.unknown {
		return
	}
	of := e.Life
	if l.ID != e.loan() || of.Gang == nil {
		of = before
	}
	if g := of.Gang; g != nil && l.ID == loanOf(e.UID, of.Generation) && !g.Ask.At.IsZero() && l.State != loan.Lent {
		saved := e.Life.Saved
		if l.State == loan.Recalled {
			d.booked("notice", l.ID, d.loans.Notice(l.ID, g.Ask.At))
		}
		if l.State != loan.Saved && saved.Generation == of.Generation && saved.At.After(g.Ask.At) {
			d.booked("save", l.ID, d.loans.Save(l.ID, saved.At))
		}
	}
	p, under := e.under()
	if l.ID == e.loan() && l.State == loan.Recalled && e.Life.Gang != nil && e.Life.Phase != job.Draining && !under {
		d.recallAgain(e, l) // the platform ended before its job was told
		return
	}
	if holds := e.Life.Gang != nil || under && p.action == jobs.Admit; l.ID != e.loan() || !holds {
		d.booked("release", l.ID, d.loans.Release(l.ID, string(e.Life.Cause), 0, d.Now()))
	}
}

// recallAgain tells a job of a recall that it has not heard of, with all the time to go that it was promised.
func (d *Dispatcher) recallAgain(e *entry, l loan.Loan) {
	by := latest(l.Deadline, d.Now().Add(e.rec.Job.Spec.Borrow.MaxGiveBack()))
	d.carryOut(e, jobs.Step{Action: jobs.Recall, Reason: jobs.Reason(l.Cause), Ranks: e.Life.Gang.Nodes, Lent: l.GPUs, KillAt: by})
}

// Loans implements [api.Jobs].
func (d *Dispatcher) Loans(ctx context.Context, since time.Time) (loan.Summary, error) {
	var out loan.Summary
	err := d.box.Call(ctx, func() { out = d.loans.Since(since, d.Now()) })
	return out, err
}
