package dispatch

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
)

// lending is a dispatcher with one job, whose book of loans is kept by a real broker.
type lending struct {
	*Dispatcher
	t   *testing.T
	e   *entry
	now time.Time
	seq uint64
	on  map[string]int // what spending was told last
}

func (l *lending) Tell(events.Heartbeat)    {}
func (l *lending) Lend(gpus map[string]int) { l.on = gpus }

func (l *lending) PerHour(string) (float64, bool) { return 0, false }

func newLending(t *testing.T) *lending {
	t.Helper()
	nc, _, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	if err == nil {
		err = bus.Ensure(t.Context(), events.StreamOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	learned, err := events.OpenStore[json.RawMessage](t.Context(), bus, events.BucketLearned)
	if err != nil {
		t.Fatal(err)
	}
	l := &lending{t: t, now: origin}
	l.Dispatcher = New(Options{Learned: learned, Ledger: still{}, Checkpoints: &Checkpoints{Root: t.TempDir()}, Spending: l, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return l.now }})
	l.soon = true // nothing is planned here
	_, end := l.box.Begin(t.Context())
	t.Cleanup(end)
	rec := events.JobRecord{UID: "uid", Submitted: origin}
	rec.Job.Metadata = functions.Metadata{Namespace: "ns", Name: "train"}
	rec.Job.Spec.Resources.GPUsPerNode = 1
	l.e = newEntry(rec.Job.Key(), rec, 1)
	l.e.telling = true // its workflow is the test
	l.jobs[l.e.key] = l.e
	l.step(0, func(s *job.State) { s.Phase, s.Generation = job.Queued, 1 })
	return l
}

// step is news of the job, so many seconds after the last.
func (l *lending) step(seconds float64, change func(*job.State)) {
	l.now = l.now.Add(time.Duration(seconds * float64(time.Second)))
	life := l.e.Life
	if g := life.Gang; g != nil {
		life.Gang = new(*g)
	}
	change(&life)
	l.seq++
	l.update(l.e, life, l.seq)
}

// borrow admits the job with two nodes, of whose GPUs so many are on loan, and places it.
func (l *lending) borrow(gpus int) {
	l.carryOut(l.e, jobs.Step{Action: jobs.Admit, Ranks: 2, Lent: gpus, Until: l.now.Add(time.Hour)})
	l.step(0, func(s *job.State) { s.Phase, s.Gang = job.Admitted, &job.Gang{Nodes: 2} })
	l.step(0, func(s *job.State) {
		s.Phase, s.Gang.Placed, s.Gang.Started = job.Running, l.now, l.now
	})
}

func (l *lending) recalled(after float64, deadline time.Duration) {
	l.now = l.now.Add(time.Duration(after * float64(time.Second)))
	l.carryOut(l.e, jobs.Step{Action: jobs.Recall, Reason: jobs.ReasonWanted, KillAt: l.now.Add(deadline)})
}

func (l *lending) asked(after float64) {
	l.step(after, func(s *job.State) {
		s.Phase, s.Gang.Ask = job.Draining, job.Ask{Cause: job.CauseRecalled, At: l.now}
	})
}

func (l *lending) gone(after float64) {
	l.step(after, func(s *job.State) {
		s.Phase, s.Gang, s.Cause, s.Generation = job.Queued, nil, job.CauseRecalled, s.Generation+1
	})
}

// again is a platform that was killed once all was stored, and begins with that.
func (l *lending) again() {
	l.t.Helper()
	for l.loans.saving {
		(<-l.box.In())()
	}
	l.loans = loans{kept: kept{key: loansKey}}
	if err := l.loans.restore(l.t.Context(), l.Learned, &l.loans.Book); err != nil {
		l.t.Fatal(err)
	}
	l.on = nil
	l.e.planned = planned{} // as after a start
	l.settle()
}

func TestARecalledLoanIsTimedInEachOfItsParts(t *testing.T) {
	l := newLending(t)
	l.borrow(1)
	if l.on["job ns/train"] != 1 || l.e.Attempts[0].Lent != 1 {
		t.Fatalf("spending was told %v, the receipt is %+v", l.on, l.e.Attempts)
	}
	l.recalled(10, 30*time.Second)
	l.asked(0.5)
	l.step(2, func(s *job.State) { s.Saved = job.Saved{Path: "step-7", Step: 7, At: l.now, Generation: 1} })
	l.gone(1.5)
	s := l.loans.Since(origin, l.now)
	if s.Loans != 1 || s.Open != 0 || s.Recalls != 1 || s.Overdue != 0 || s.GiveBack.P50 != 4 || s.Save.P50 != 2 {
		t.Errorf("recalled at 10 s, noticed at 10.5, saved at 12.5, released at 14: %+v of %+v", s, l.loans.Closed)
	}
	if c := s.Credits[0]; c.Lender != lender || c.GPUSeconds != 14 {
		t.Errorf("credit %+v", c)
	}
	if x := l.e.time(l.now); x.Held != 28 || x.Lent != 14 || len(l.on) != 0 {
		t.Errorf("the job held %+v, spending was told %v", x, l.on)
	}
}

// The platform may be killed between a recall's entry in the book and its word to the job, and afterwards nobody may want
// the GPUs any more. What was recalled goes, with the time it was promised.
func TestARecallThatWasNotHeardIsToldAgain(t *testing.T) {
	l := newLending(t)
	l.e.rec.Job.Spec.Borrow.MaxGiveBackSeconds = 30
	l.borrow(1)
	l.recalled(10, 30*time.Second)
	l.e.pending = nil // it dies with the platform
	l.now = l.now.Add(time.Minute)
	l.again()
	l.settle()
	if p := l.e.pending; len(p) != 1 || p[0].Kind != job.Leave || p[0].Cause != job.CauseRecalled || !p[0].KillBy.Equal(l.now.Add(30*time.Second)) {
		t.Errorf("at %v it is told %+v", l.now, p)
	}
	l.asked(1)
	l.gone(1)
	if s := l.loans.Since(origin, l.now); s.Open != 0 || s.Recalls != 1 {
		t.Errorf("%+v", s)
	}
}

// What is told together is taken apart again: notice, checkpoint and end may come in one answer.
func TestALoanIsTimedAlsoWhereNewsComesLate(t *testing.T) {
	l := newLending(t)
	l.borrow(2)
	l.recalled(10, 30*time.Second)
	l.asked(1)
	l.step(3, func(s *job.State) {
		s.Saved = job.Saved{Path: "step-7", Step: 7, At: l.now.Add(-time.Second), Generation: 1}
		s.Phase, s.Gang, s.Cause, s.Generation = job.Queued, nil, job.CauseRecalled, 2
	})
	if s := l.loans.Since(origin, l.now); s.GiveBack.P50 != 4 || s.Save.P50 != 2 {
		t.Errorf("%+v of %+v", s, l.loans.Closed)
	}
}

func TestALoanThatIsHeldAtItsDeadlineIsOverdue(t *testing.T) {
	l := newLending(t)
	l.borrow(2)
	l.recalled(10, 30*time.Second)
	l.asked(0)
	var log strings.Builder
	l.Log = slog.New(slog.NewTextHandler(&log, nil))
	l.now = l.now.Add(30 * time.Second)
	for range 3 {
		l.settle()
	}
	l.again()
	if n := strings.Count(log.String(), "a loan is overdue"); n != 1 {
		t.Errorf("it is logged %d times:\n%s", n, &log)
	}
	l.gone(0.1)
	if s := l.loans.Since(origin, l.now); s.Overdue != 1 || s.GiveBack.P99 != 30.1 {
		t.Errorf("%+v", s)
	}
}

func TestLoansEndWithoutARecall(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(*lending)
		cause string
	}{
		"it finishes": {func(l *lending) {
			l.step(5, func(s *job.State) { s.Phase, s.Gang, s.Cause = job.Succeeded, nil, "done" })
		}, "done"},
		"own GPUs are free": {func(l *lending) {
			l.now = l.now.Add(5 * time.Second)
			l.carryOut(l.e, jobs.Step{Action: jobs.Redeem})
		}, "redeem"},
		"the job is removed": {func(l *lending) {
			l.now = l.now.Add(5 * time.Second)
			delete(l.jobs, l.e.key)
			l.settle()
		}, "removed"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLending(t)
			l.borrow(2)
			c.end(l)
			if s := l.loans.Since(origin, l.now); s.Open != 0 || s.Recalls != 0 || s.GiveBack.Of != 0 || s.Credits[0].GPUSeconds != 10 || l.loans.Closed[0].Cause != c.cause || len(l.on) != 0 {
				t.Errorf("%+v of %+v, spending was told %v", s, l.loans.Closed, l.on)
			}
		})
	}
}

// A gang that was admitted and found no room, or whose workflow refuses it, has borrowed nothing any more.
func TestALoanOfAGangThatIsNotPlacedEnds(t *testing.T) {
	l := newLending(t)
	l.carryOut(l.e, jobs.Step{Action: jobs.Admit, Ranks: 2, Lent: 2, Until: l.now.Add(time.Hour)})
	l.settle()
	if l.loans.Lent() != 2 {
		t.Fatalf("its workflow has not answered yet, and %d are on loan", l.loans.Lent())
	}
	l.e.planned = planned{} // it has refused
	l.settle()
	if l.loans.Lent() != 0 {
		t.Error("it was refused, and is on loan")
	}
	l.carryOut(l.e, jobs.Step{Action: jobs.Admit, Ranks: 2, Lent: 1, Until: l.now.Add(time.Hour)})
	l.step(0, func(s *job.State) { s.Phase, s.Gang = job.Admitted, &job.Gang{Nodes: 2} })
	l.step(1, func(s *job.State) { s.Phase, s.Gang, s.Generation = job.Queued, nil, 2 })
	if l.loans.Lent() != 0 || len(l.e.Attempts) != 0 {
		t.Errorf("it found no room: %d on loan, attempts %+v", l.loans.Lent(), l.e.Attempts)
	}
}

// The book outlives the platform: what was lent, extended, redeemed and recalled is known after a kill.
func TestLoansSurviveARestart(t *testing.T) {
	l := newLending(t)
	l.borrow(2)
	until := l.now.Add(3 * time.Hour)
	l.carryOut(l.e, jobs.Step{Action: jobs.Extend, Lent: 2, Until: until})
	l.again()
	if x, open := l.loans.Find(l.e.loan()); !open || x.GPUs != 2 || !x.Until.Equal(until) {
		t.Fatalf("after a kill the loan is %+v", x)
	}
	l.recalled(10, 30*time.Second)
	l.again()
	l.asked(0)
	l.gone(1)
	if s := l.loans.Since(origin, l.now); s.GiveBack.P50 != 1 {
		t.Errorf("recalled before a kill: %+v", s)
	}
	l.borrow(1)
	l.carryOut(l.e, jobs.Step{Action: jobs.Redeem})
	l.again()
	if l.loans.Lent() != 0 || l.loans.Credits[0].Loans != 2 {
		t.Errorf("redeemed before a kill: %+v", l.loans.Book)
	}
	l.borrow(1)
	l.again()
	l.e.unknown = true // how its workflow is nobody knows yet
	l.settle()
	if l.loans.Lent() != 1 {
		t.Error("a loan of a gang that nobody has asked yet was ended")
	}
}

func TestLentTimeEndsWhereOwnGPUsTakeOver(t *testing.T) {
	at := func(s int) time.Time { return origin.Add(time.Duration(s) * time.Second) }
	for name, c := range map[string]struct {
		a    api.Attempt
		want float64
	}{
		"all its own":     {api.Attempt{Placed: at(0)}, 0},
		"still on loan":   {api.Attempt{Placed: at(0), Lent: 2}, 200},
		"given back":      {api.Attempt{Placed: at(0), Lent: 2, Released: at(30)}, 60},
		"redeemed":        {api.Attempt{Placed: at(0), Lent: 2, Released: at(30), Redeemed: at(10)}, 20},
		"redeemed before": {api.Attempt{Placed: at(20), Lent: 2, Redeemed: at(10)}, 0},
	} {
		if got := lentOf(c.a, at(100)); got != c.want {
			t.Errorf("%s: %v GPU-seconds, want %v", name, got, c.want)
		}
	}
}
