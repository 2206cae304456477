package loan

import (
	"slices"
	"time"
)

// Summary is what loans came to since a moment, and the credits of all time.
type Summary struct {
	From     time.Time `json:"from"` // later than asked for where older loans are forgotten
	Loans    int       `json:"loans"`
	Open     int       `json:"open"`    // of them, not given back yet
	GPUs     int       `json:"gpus"`    // on loan now
	Recalls  int       `json:"recalls"` // of those given back since, and of those that still are to be
	Overdue  int       `json:"overdue"` // of these, not given back at their deadline: the borrower was killed
	GiveBack Times     `json:"giveBack"`
	Save     Times     `json:"save"` // of the give-backs, from the notice until a checkpoint was committed
	Credits  []Credit  `json:"credits,omitempty"`
}

// Times are percentiles of so many durations, in seconds; of none they are 0.
type Times struct {
	Of  int     `json:"of"`
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Since sums up the loans that were open since a moment.
func (b *Book) Since(from, now time.Time) Summary {
	s := Summary{From: from, GPUs: b.Lent(), Open: len(b.Open), Credits: b.CreditsAt(now)}
	if len(b.Closed) == KeptLoans {
		s.From = later(from, b.Closed[0].Released)
	}
	var took, saves []time.Duration
	for _, l := range slices.Concat(b.Closed, b.Open) {
		if l.State == Released && l.Released.Before(s.From) {
			continue
		}
		s.Loans++
		if !l.Recalled.IsZero() {
			s.Recalls++
		}
		if l.Killed {
			s.Overdue++
		}
		if d, ok := l.GiveBack(); ok {
			took = append(took, d)
			if d, ok := l.Save(); ok {
				saves = append(saves, d)
			}
		}
	}
	s.GiveBack, s.Save = times(took), times(saves)
	return s
}

func times(all []time.Duration) Times {
	n := len(all)
	if n == 0 {
		return Times{}
	}
	slices.Sort(all)
	at := func(share float64) float64 { return all[min(n-1, int(share*float64(n)))].Seconds() }
	return Times{Of: n, P50: at(0.5), P99: at(0.99)}
}
