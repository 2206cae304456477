package loan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// KeptLoans is how many released loans are remembered: the 99th percentile of fewer than a few hundred
// give-backs is the longest of them, older ones say little of the programs of today, and all of them are
// written anew with each step of a loan, some 150 kB.
const KeptLoans = 500

var (
	// ErrLoan is returned for a loan that cannot be opened or changed as asked.
	ErrLoan = errors.New("bad loan")
	// ErrUnknown is returned for a loan that is not open.
	ErrUnknown = errors.New("no such loan")
)

// State is where a loan is.
type State string

// The states, in the order in which a loan passes them; it may leave out some.
const (
	Lent     State = "lent"
	Recalled State = "recalled"
	Noticed  State = "noticed"
	Saved    State = "saved"
	Released State = "released"
)

// states in their order.
var states = []State{Lent, Recalled, Noticed, Saved, Released}

// Loan is GPUs on loan to one attempt of a job.
type Loan struct {
	ID       string    `json:"id"` // of the attempt
	Job      string    `json:"job"`
	Lender   string    `json:"lender"`
	GPUs     int       `json:"gpus"`
	State    State     `json:"state"`
	Began    time.Time `json:"began"`
	Until    time.Time `json:"until"`             // agreed
	Cause    string    `json:"cause,omitempty"`   // of the recall, or of the end without one
	Recalled time.Time `json:"recalled,omitzero"` // when the lender wanted it back
	Deadline time.Time `json:"deadline,omitzero"` // when it is overdue
	Noticed  time.Time `json:"noticed,omitzero"`
	Saved    time.Time `json:"saved,omitzero"`
	Released time.Time `json:"released,omitzero"`
	Killed   bool      `json:"killed,omitempty"` // it was overdue
}

// GiveBack is how long it took from recall to release; false: nobody recalled it, or it is not released.
func (l *Loan) GiveBack() (time.Duration, bool) {
	return passed(l.Recalled, l.Released), l.State == Released && !l.Recalled.IsZero()
}

// Save is how long of that it took from the notice to the checkpoint, the program's own; false: none was committed.
func (l *Loan) Save() (time.Duration, bool) {
	return passed(l.Noticed, l.Saved), !l.Saved.IsZero()
}

// Credit is what somebody has lent.
type Credit struct {
	Lender     string  `json:"lender"`
	GPUSeconds float64 `json:"gpuSeconds"` // until the book was counted
	Loans      int     `json:"loans"`      // opened
	Recalls    int     `json:"recalls"`
	Overdue    int     `json:"overdue"`
}

// Book is all loans. The zero value is an empty one. Methods that return an error have changed
// nothing. Open and Credits are sorted by their names, Closed by the time of release.
type Book struct {
	Open    []Loan    `json:"open,omitempty"`
	Closed  []Loan    `json:"closed,omitempty"` // the newest [KeptLoans], and parts of loans
	Credits []Credit  `json:"credits,omitempty"`
	Counted time.Time `json:"counted,omitzero"` // credits are complete until then
}

// Lend opens a loan. Opening it again as it is is a no-op. Error: ErrLoan.
func (b *Book) Lend(l Loan, now time.Time) error {
	switch i, open := b.find(l.ID); {
	case l.ID == "" || l.Lender == "" || l.GPUs < 1:
		return fmt.Errorf("lend %d GPUs of %q to %q: %w: it needs an ID, a lender and at least 1 GPU", l.GPUs, l.Lender, l.ID, ErrLoan)
	case !l.Until.After(now):
		return fmt.Errorf("lend to %s until %v: %w: that is not after %v", l.ID, l.Until, ErrLoan, now)
	case open && (b.Open[i].GPUs != l.GPUs || b.Open[i].Lender != l.Lender):
		return fmt.Errorf("lend %d GPUs of %s to %s: %w: it has %d of %s already", l.GPUs, l.Lender, l.ID, ErrLoan, b.Open[i].GPUs, b.Open[i].Lender)
	case open:
		return nil
	default:
		b.count(now)
		l.State, l.Began = Lent, now
		b.Open = slices.Insert(slices.Clone(b.Open), i, l)
		b.credit(l.Lender).Loans++
		return nil
	}
}

// Extend lets a loan go on until a later moment; a recall is not taken back by it. Error: ErrUnknown.
func (b *Book) Extend(id string, until time.Time) error {
	return b.change(id, func(l *Loan) {
		if l.State == Lent && until.After(l.Until) {
			l.Until = until
		}
	})
}

// Recall wants a loan back until a deadline. A loan that is recalled again keeps its first recall,
// and the earlier of both deadlines. Error: ErrUnknown.
func (b *Book) Recall(id, cause string, deadline, now time.Time) error {
	return b.change(id, func(l *Loan) {
		if l.forward(Recalled, now, &l.Recalled) {
			l.Cause, l.Deadline = cause, deadline
			b.credit(l.Lender).Recalls++
		}
		if deadline.Before(l.Deadline) {
			l.Deadline = deadline
		}
	})
}

// Notice says when the borrower was told. Error: ErrUnknown.
func (b *Book) Notice(id string, now time.Time) error {
	return b.change(id, func(l *Loan) {
		if l.State != Lent {
			l.forward(Noticed, now, &l.Noticed)
		}
	})
}

// Save says when the borrower has committed a checkpoint since it was told. Error: ErrUnknown.
func (b *Book) Save(id string, now time.Time) error {
	return b.change(id, func(l *Loan) {
		if l.State == Noticed {
			l.forward(Saved, now, &l.Saved)
		}
	})
}

// Overdue are the loans whose deadline has passed since it was last asked. Each is marked, and returned once.
func (b *Book) Overdue(now time.Time) (out []Loan) {
	for i := range b.Open {
		if l := &b.Open[i]; b.late(l, now) {
			out = append(out, *l)
		}
	}
	return out
}

// late marks a loan whose deadline has passed; false: it has not, or the loan is marked already.
func (b *Book) late(l *Loan, now time.Time) bool {
	if l.Killed || l.Deadline.IsZero() || now.Before(l.Deadline) {
		return false
	}
	l.Killed = true
	b.credit(l.Lender).Overdue++
	return true
}

// Release says that the borrower holds no more than so many GPUs of a loan: 0 ends it. A loan that
// was not recalled ends for a cause of the borrower's own. It is a no-op for a loan that holds no
// more already. Error: ErrUnknown.
func (b *Book) Release(id, cause string, left int, now time.Time) error {
	i, open := b.find(id)
	if !open {
		return fmt.Errorf("release %s: %w", id, ErrUnknown)
	}
	l := b.Open[i]
	if left >= l.GPUs {
		return nil
	}
	b.count(now)
	b.late(&l, now)
	b.Open = slices.Clone(b.Open)
	if left > 0 {
		b.Open[i] = Loan{ID: l.ID, Job: l.Job, Lender: l.Lender, GPUs: left, State: Lent, Began: l.Began, Until: l.Until}
		l.GPUs -= left
	} else {
		b.Open = slices.Delete(b.Open, i, i+1)
	}
	if l.Cause == "" {
		l.Cause = cause
	}
	l.State, l.Released = Released, now
	b.Closed = append(slices.Clone(b.Closed[max(0, len(b.Closed)+1-KeptLoans):]), l)
	return nil
}

// forward takes a loan to a later state, and notes when.
func (l *Loan) forward(to State, now time.Time, at *time.Time) bool {
	if slices.Index(states, to) <= slices.Index(states, l.State) {
		return false
	}
	l.State, *at = to, now
	return true
}

func (b *Book) change(id string, f func(*Loan)) error {
	i, open := b.find(id)
	if !open {
		return fmt.Errorf("loan %s: %w", id, ErrUnknown)
	}
	b.Open = slices.Clone(b.Open)
	f(&b.Open[i])
	return nil
}

func (b *Book) find(id string) (int, bool) {
	return slices.BinarySearchFunc(b.Open, id, func(l Loan, id string) int { return strings.Compare(l.ID, id) })
}

// Lent is how many GPUs are on loan.
func (b *Book) Lent() (gpus int) {
	for _, l := range b.Open {
		gpus += l.GPUs
	}
	return gpus
}

// count brings the credits up to now.
func (b *Book) count(now time.Time) {
	for _, l := range b.Open {
		if from := later(l.Began, b.Counted); now.After(from) {
			b.credit(l.Lender).GPUSeconds += float64(l.GPUs) * now.Sub(from).Seconds()
		}
	}
	b.Counted = later(b.Counted, now)
}

// CreditsAt are the credits at a moment. The caller owns the slice.
func (b *Book) CreditsAt(now time.Time) []Credit {
	c := *b
	c.Credits = slices.Clone(b.Credits)
	c.count(now)
	return c.Credits
}

// credit finds or makes the credit of a lender.
func (b *Book) credit(lender string) *Credit {
	i, found := slices.BinarySearchFunc(b.Credits, lender, func(c Credit, name string) int { return strings.Compare(c.Lender, name) })
	if !found {
		b.Credits = slices.Insert(b.Credits, i, Credit{Lender: lender})
	}
	return &b.Credits[i]
}

// Find is an open loan.
func (b *Book) Find(id string) (Loan, bool) {
	i, open := b.find(id)
	if !open {
		return Loan{}, false
	}
	return b.Open[i], true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// passed is never negative, clocks being clocks.
func passed(from, to time.Time) time.Duration { return max(0, to.Sub(from)) }
