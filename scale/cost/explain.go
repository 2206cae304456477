package cost

import (
	"slices"
	"time"
)

// Told is what an agent says of its replica since its start: seconds of one GPU by what they went
// to, and what it did meanwhile. It only grows.
type Told struct {
	Useful    float64 `json:"useful,omitempty"`
	Cold      float64 `json:"cold,omitempty"`
	Idle      float64 `json:"idle,omitempty"`
	Draining  float64 `json:"draining,omitempty"`
	Served    uint64  `json:"served,omitempty"`
	Failed    uint64  `json:"failed,omitempty"`
	TokensIn  uint64  `json:"tokensIn,omitempty"`
	TokensOut uint64  `json:"tokensOut,omitempty"`
}

// Explain takes an agent's newest word on its replica at now. The last one says that the replica
// has exited. A holder that has no lease is not charged.
func (m *Meter) Explain(holder string, t Told, last bool, now time.Time) {
	x := m.Leases[holder]
	if x == nil || x.Over {
		return
	}
	now = m.start(now)
	m.passLease(x, now)
	m.count(x, t, now)
	parts := []struct {
		cause Cause
		sec   float64
	}{
		{Useful, t.Useful - x.Told.Useful}, {Cold, t.Cold - x.Told.Cold},
		{Idle, t.Idle - x.Told.Idle}, {Draining, t.Draining - x.Told.Draining},
	}
	var told float64
	for i := range parts {
		parts[i].sec = max(parts[i].sec, 0) * float64(x.GPUs)
		told += parts[i].sec
	}
	open := x.left()
	if !x.Heard { // it was held before the agent counted
		m.move(x, Cold, open-seconds(told))
		open = x.left()
	}
	scale := 1.0
	if told > open.Seconds() {
		scale = open.Seconds() / told // an agent's clock that runs ahead makes no time
	}
	for _, p := range parts {
		m.move(x, p.cause, seconds(p.sec*scale))
	}
	x.Heard, x.Over = true, last
	x.Told = t.atLeast(x.Told)
}

// count books what the replica did.
func (m *Meter) count(x *Lease, t Told, now time.Time) {
	grown := func(now, before uint64) uint64 { return now - min(now, before) }
	done := Entry{
		Served: grown(t.Served, x.Told.Served), Failed: grown(t.Failed, x.Told.Failed),
		TokensIn: grown(t.TokensIn, x.Told.TokensIn), TokensOut: grown(t.TokensOut, x.Told.TokensOut),
	}
	if done.Served+done.Failed+done.TokensIn+done.TokensOut > 0 {
		m.row(now.UTC()).entry(x.Account).add(done)
	}
}

// atLeast keeps of two words the larger numbers: one that came late says less.
func (t Told) atLeast(o Told) Told {
	return Told{
		Useful: max(t.Useful, o.Useful), Cold: max(t.Cold, o.Cold), Idle: max(t.Idle, o.Idle), Draining: max(t.Draining, o.Draining),
		Served: max(t.Served, o.Served), Failed: max(t.Failed, o.Failed), TokensIn: max(t.TokensIn, o.TokensIn), TokensOut: max(t.TokensOut, o.TokensOut),
	}
}

// left is the time that waits to be explained.
func (x *Lease) left() time.Duration {
	var sum time.Duration
	for _, o := range x.Open {
		sum += o.Left
	}
	return sum
}

func (m *Meter) explainAll(x *Lease, c Cause) { m.move(x, c, x.left()) }

// move explains up to d of what is open, oldest first.
func (m *Meter) move(x *Lease, c Cause, d time.Duration) {
	for d > 0 && len(x.Open) > 0 {
		o := &x.Open[0]
		part := min(d, o.Left)
		if i, found := slices.BinarySearchFunc(m.Rows, o.Start, func(r Row, t time.Time) int { return r.Start.Compare(t) }); found {
			e := m.Rows[i].entry(x.Account)
			e.Time.put(Unknown, -part)
			e.Time.put(c, part)
		}
		d -= part
		if o.Left -= part; o.Left == 0 {
			x.Open = x.Open[1:]
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
