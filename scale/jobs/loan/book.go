package loan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// KeptGiveBacks is how many give-backs percentiles are taken of: the 99th of fewer than a few
	// hundred is their longest, and older ones say little of the programs of today.
	KeptGiveBacks = 1000
	// KeptLoans is how many released loans can be looked at.
	KeptLoans = 100
)

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

// GiveBack is a recall that was answered.
type GiveBack struct {
	Took   time.Duration `json:"took"`           // from recall to release
	Save   time.Duration `json:"save,omitempty"` // of that, from notice to the checkpoint: the program's own
	GPUs   int           `json:"gpus"`
	Killed bool          `json:"killed,omitempty"`
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
// nothing. Open and Credits are sorted by their names, Closed and GiveBacks by time.
type Book struct {
	Open      []Loan     `json:"open,omitempty"`
	Closed    []Loan     `json:"closed,omitempty"`
	GiveBacks []GiveBack `json:"giveBacks,omitempty"`
	Credits   []Credit   `json:"credits,omitempty"`
	Counted   time.Time  `json:"counted,omitzero"` // credits are complete until then
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

// Notice says that the borrower was told. Error: ErrUnknown.
func (b *Book) Notice(id string, now time.Time) error {
	return b.change(id, func(l *Loan) {
		if l.State != Lent {
			l.forward(Noticed, now, &l.Noticed)
		}
	})
}

// Save says that the borrower has committed a checkpoint since it was told. Error: ErrUnknown.
func (b *Book) Save(id string, now time.Time) error {
	return b.change(id, func(l *Loan) {
		if l.State == Noticed {
			l.forward(Saved, now, &l.Saved)
		}
	})
}

// Overdue are the loans whose deadline has passed. Each is marked, and returned until it is released.
func (b *Book) Overdue(now time.Time) (out []Loan) {
	for i := range b.Open {
		if l := &b.Open[i]; !l.Deadline.IsZero() && !now.Before(l.Deadline) {
			if !l.Killed {
				l.Killed = true
				b.credit(l.Lender).Overdue++
			}
			out = append(out, *l)
		}
	}
	return out
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
	if !l.Recalled.IsZero() {
		g := GiveBack{Took: passed(l.Recalled, now), GPUs: l.GPUs - max(0, left), Killed: l.Killed}
		if !l.Saved.IsZero() {
			g.Save = passed(l.Noticed, l.Saved)
		}
		b.GiveBacks = keep(append(b.GiveBacks, g), KeptGiveBacks)
	}
	b.Open = slices.Clone(b.Open)
	if left > 0 {
		b.Open[i] = Loan{ID: l.ID, Job: l.Job, Lender: l.Lender, GPUs: left, State: Lent, Began: l.Began, Until: l.Until}
		return nil
	}
	b.Open = slices.Delete(b.Open, i, i+1)
	if l.Cause == "" {
		l.Cause = cause
	}
	l.State, l.Released = Released, now
	b.Closed = keep(append(b.Closed, l), KeptLoans)
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

// Percentile is the time within which a share of the give-backs was over, in 0 to 1, and how many
// there were; of none it is 0.
func (b *Book) Percentile(share float64) (took time.Duration, of int) {
	n := len(b.GiveBacks)
	if n == 0 {
		return 0, 0
	}
	all := make([]time.Duration, n)
	for i, g := range b.GiveBacks {
		all[i] = g.Took
	}
	slices.Sort(all)
	return all[min(n-1, int(share*float64(n)))], n
}

func keep[T any](list []T, most int) []T { return slices.Clone(list[max(0, len(list)-most):]) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// passed is never negative, clocks being clocks.
func passed(from, to time.Time) time.Duration { return max(0, to.Sub(from)) }
