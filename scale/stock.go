package scale

import "strings"

// Stock answers what observations ask of one ledger, and remembers the answers: a thousand
// functions ask the same again and again until the ledger changes, and each answer takes a look at
// every device. The zero Stock is ready to use; it is not safe for concurrent use.
type Stock struct {
	ledger  *Ledger
	holders []Holder
	counted bool // holders are known
	fits    map[fitting]int
}

// fitting is what of an ask decides how often it fits.
type fitting struct {
	gpus     int
	memory   uint64
	products string
}

// Of returns the stock of a ledger that nobody changes: another ledger is another pointer.
func (s *Stock) Of(l *Ledger) *Stock {
	if s.ledger != l {
		*s = Stock{ledger: l, fits: map[fitting]int{}}
	}
	return s
}

// Holders is [Ledger.Holders]. The caller must not change it.
func (s *Stock) Holders() []Holder {
	if !s.counted {
		s.holders, s.counted = s.ledger.Holders(), true
	}
	return s.holders
}

// Fit is [Ledger.Fit].
func (s *Stock) Fit(ask Ask) int {
	key := fitting{ask.GPUs, ask.Memory, strings.Join(ask.Products, "\n")}
	n, known := s.fits[key]
	if !known {
		n = s.ledger.Fit(ask)
		s.fits[key] = n
	}
	return n
}

// Capacity is how many devices there are.
func (s *Stock) Capacity() int { return len(s.ledger.Devices) }
