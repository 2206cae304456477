package cost

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// By is what the lines of a report are about.
type By string

// The ways to break cost down.
const (
	ByFunction  By = "function"
	ByNamespace By = "namespace"
	ByPool      By = "pool"
	ByCause     By = "cause"
	ByProduct   By = "product"
)

// Ways lists them. The caller owns the slice.
func Ways() []By { return []By{ByFunction, ByNamespace, ByPool, ByCause, ByProduct} }

// Names of lines that are no function's or namespace's.
const (
	// NamePool is what nobody held.
	NamePool = "(pool)"
	// NameOthers is what the asker may not see.
	NameOthers = "(others)"
	// NameUnpriced stands for a product without a name.
	NameUnpriced = "(no GPU)"
)

// Line is one line of a report. Times are GPU-seconds.
type Line struct {
	Name       string            `json:"name"`
	GPUSeconds float64           `json:"gpuSeconds"`
	Causes     map[Cause]float64 `json:"causes"`
	Share      float64           `json:"share"`              // of all that was provisioned
	USD        *float64          `json:"usd"`                // null: no part of it has a price
	Unpriced   float64           `json:"unpriced,omitempty"` // GPU-seconds of products without a price, not in usd
	Lent       float64           `json:"lent,omitempty"`     // of gpuSeconds, on GPUs that were on loan; by cause it is told of the total alone
	LentUSD    *float64          `json:"lentUSD,omitempty"`  // what of usd is for those; null: no part of it has a price
	Served     uint64            `json:"served"`
	Failed     uint64            `json:"failed"`
	TokensIn   uint64            `json:"tokensIn,omitempty"`
	TokensOut  uint64            `json:"tokensOut,omitempty"`
	// USD without those for training per 1,000 requests served and per million tokens (in and out); null:
	// unpriced, or none.
	PerThousandRequests *float64 `json:"usdPer1000Requests"`
	PerMillionTokens    *float64 `json:"usdPerMillionTokens"`
}

// Report is where the GPU time of a stretch of time went. The lines add up to the total, and the
// total is what was provisioned.
type Report struct {
	Pool  string    `json:"pool"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	By    By        `json:"by"`
	Lines []Line    `json:"lines"` // most expensive first
	Total Line      `json:"total"`
}

// Options shape a report.
type Options struct {
	Pool  string
	By    By
	See   func(namespace string) bool                     // nil: everything
	Price func(product string) (perHour float64, ok bool) // USD per GPU-hour
}

// Summarize makes a report of rows that do not overlap.
func Summarize(rows []Row, o Options) Report {
	r := Report{Pool: o.Pool, By: o.By}
	var all Row
	for i, row := range rows {
		if i == 0 || row.Start.Before(r.From) {
			r.From = row.Start
		}
		if row.End().After(r.To) {
			r.To = row.End()
		}
		all.merge(row)
	}
	lines := map[string]*sum{}
	total := &sum{}
	for _, e := range all.Entries {
		total.add(e, o.Price)
		for name, part := range o.split(e) {
			if lines[name] == nil {
				lines[name] = &sum{}
			}
			lines[name].add(part, o.Price)
		}
	}
	r.Total = total.line("total", total.time.Total())
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		r.Lines = append(r.Lines, lines[name].line(name, total.time.Total()))
	}
	slices.SortStableFunc(r.Lines, func(a, b Line) int { return cmp.Compare(b.GPUSeconds, a.GPUSeconds) })
	return r
}

// split tells to which lines an entry belongs, and with which part.
func (o Options) split(e Entry) map[string]Entry {
	namespace, _, isFunction := strings.Cut(strings.TrimPrefix(e.Function, jobPrefix), "/") // or a job
	hidden := isFunction && o.See != nil && !o.See(namespace)
	name := e.Function
	switch {
	case o.By == ByCause:
		return o.byCause(e)
	case o.By == ByPool:
		name = o.Pool
	case o.By == ByProduct:
		name = cmp.Or(e.Product, NameUnpriced)
	case !isFunction:
		name = NamePool
	case hidden:
		name = NameOthers
	case o.By == ByNamespace:
		name = namespace
	}
	return map[string]Entry{name: e}
}

// byCause leaves what was done with what was useful.
func (o Options) byCause(e Entry) map[string]Entry {
	out := map[string]Entry{}
	for c, d := range e.Time {
		out[string(c)] = Entry{Account: e.Account, Time: Parts{c: d}}
	}
	done := e
	done.Time, done.Lent = Parts{}, 0
	if d := e.Time[Useful]; d > 0 {
		done.Time[Useful] = d
	}
	if len(done.Time) > 0 || e.Served+e.Failed+e.TokensIn+e.TokensOut > 0 {
		out[string(Useful)] = done
	}
	return out
}

// sum is a line being added up.
type sum struct {
	time, unpriced Parts
	usd, lentUSD   float64
	jobsUSD        float64 // of usd, for training
	priced         bool
	did            Entry
}

func (s *sum) add(e Entry, price func(string) (float64, bool)) {
	s.time = s.time.add(e.Time)
	s.did.add(e)
	d := e.Time.Total()
	if d == 0 {
		return
	}
	perHour, known := price(e.Product)
	if !known {
		s.unpriced = s.unpriced.add(e.Time)
		return
	}
	s.usd += perHour * d.Hours()
	s.lentUSD += perHour * e.Lent.Hours()
	if strings.HasPrefix(e.Function, jobPrefix) {
		s.jobsUSD += perHour * d.Hours()
	}
	s.priced = true
}

func (s *sum) line(name string, all time.Duration) Line {
	l := Line{
		Name: name, GPUSeconds: s.time.Total().Seconds(), Causes: map[Cause]float64{}, Unpriced: s.unpriced.Total().Seconds(),
		Lent: s.did.Lent.Seconds(), Served: s.did.Served, Failed: s.did.Failed, TokensIn: s.did.TokensIn, TokensOut: s.did.TokensOut,
	}
	for c, d := range s.time {
		l.Causes[c] = d.Seconds()
	}
	if all > 0 {
		l.Share = float64(s.time.Total()) / float64(all)
	}
	if !s.priced {
		return l
	}
	l.USD = &s.usd
	if s.lentUSD > 0 {
		l.LentUSD = &s.lentUSD
	}
	per := func(n uint64, of float64) *float64 {
		if n == 0 || l.Unpriced > 0 {
			return nil // what is known in part only has no rate
		}
		v := (s.usd - s.jobsUSD) / float64(n) * of
		return &v
	}
	l.PerThousandRequests, l.PerMillionTokens = per(l.Served, 1e3), per(l.TokensIn+l.TokensOut, 1e6)
	return l
}
