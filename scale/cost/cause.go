package cost

import (
	"maps"
	"slices"
	"time"
)

// Cause is what GPU time was spent on.
type Cause string

// The causes, explained in the package documentation.
const (
	Useful   Cause = "useful"
	Cold     Cause = "cold"
	Idle     Cause = "idle"
	Draining Cause = "draining"
	Unknown  Cause = "unknown"
	Free     Cause = "free"
	Foreign  Cause = "foreign"
	Unusable Cause = "unusable"
	Down     Cause = "down"
)

// Causes lists them in the order people read them. The caller owns the slice.
func Causes() []Cause {
	return []Cause{Useful, Cold, Idle, Draining, Unknown, Free, Foreign, Unusable, Down}
}

// Parts is GPU time (time × GPUs) by cause. Whole nanoseconds, so that sums are exact.
type Parts map[Cause]time.Duration

// Total is the sum of the parts.
func (p Parts) Total() time.Duration {
	var sum time.Duration
	for _, d := range p {
		sum += d
	}
	return sum
}

// add returns p with other added; p may be nil.
func (p Parts) add(other Parts) Parts {
	if p == nil {
		p = Parts{}
	}
	for c, d := range other {
		p.put(c, d)
	}
	return p
}

// put adds to one part, and keeps no part that is zero.
func (p Parts) put(c Cause, d time.Duration) {
	if p[c] += d; p[c] == 0 {
		delete(p, c)
	}
}

// Account is who GPU time is charged to. Without a function it is the pool itself.
type Account struct {
	Function string `json:"function,omitempty"` // "namespace/name"; of a training job "job namespace/name"
	Product  string `json:"product,omitempty"`  // of the GPUs; empty for replicas without any
}

// Entry is what one account spent and did within a row.
type Entry struct {
	Account
	Time      Parts         `json:"time,omitempty"`
	Lent      time.Duration `json:"lent,omitempty"`   // of Time, on GPUs that were on loan to it
	Served    uint64        `json:"served,omitempty"` // requests that ended with a result
	Failed    uint64        `json:"failed,omitempty"` // attempts that failed
	TokensIn  uint64        `json:"tokensIn,omitempty"`
	TokensOut uint64        `json:"tokensOut,omitempty"`
}

func (e *Entry) add(o Entry) {
	e.Time = e.Time.add(o.Time)
	e.Lent += o.Lent
	e.Served += o.Served
	e.Failed += o.Failed
	e.TokensIn += o.TokensIn
	e.TokensOut += o.TokensOut
}

// Row is the entries of one stretch of time.
type Row struct {
	Start   time.Time     `json:"start"`
	Length  time.Duration `json:"length"`
	Entries []Entry       `json:"entries,omitempty"` // sorted by function and product
}

// End is the first moment after the row.
func (r Row) End() time.Time { return r.Start.Add(r.Length) }

// Total is all GPU time of the row.
func (r Row) Total() time.Duration {
	var sum time.Duration
	for _, e := range r.Entries {
		sum += e.Time.Total()
	}
	return sum
}

// entry finds or makes the entry of an account.
func (r *Row) entry(a Account) *Entry {
	i, found := slices.BinarySearchFunc(r.Entries, a, func(e Entry, a Account) int { return compare(e.Account, a) })
	if !found {
		r.Entries = slices.Insert(r.Entries, i, Entry{Account: a, Time: Parts{}})
	}
	if r.Entries[i].Time == nil { // as JSON writes none
		r.Entries[i].Time = Parts{}
	}
	return &r.Entries[i]
}

// merge adds another row's entries.
func (r *Row) merge(o Row) {
	for _, e := range o.Entries {
		r.entry(e.Account).add(e)
	}
}

func (r Row) clone() Row {
	r.Entries = slices.Clone(r.Entries)
	for i := range r.Entries {
		r.Entries[i].Time = maps.Clone(r.Entries[i].Time)
	}
	return r
}
