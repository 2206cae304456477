package cost

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/scale"
)

const (
	// Version is the version of a stored Meter.
	Version = 1
	// RowLength is the length of a row as it is booked.
	RowLength = time.Minute
	// Explainable is how long booked time may be explained: heartbeats come each second, and a
	// restart of the platform or of the broker takes less.
	Explainable = 5 * time.Minute
	// MinutesKept is how long rows are kept by the minute.
	MinutesKept = 24 * time.Hour
	// HoursKept is how long rows are kept by the hour.
	HoursKept = 90 * 24 * time.Hour
)

// ownerPrefix begins the owner of a function's lease, and jobPrefix that of a job's.
const (
	ownerPrefix = "function "
	jobPrefix   = "job "
)

// Meter books the GPU time of one pool. The zero Meter has booked nothing. Its fields are what has
// to be stored, right after [Meter.Seal]; one writer changes it through its methods.
type Meter struct {
	Version int               `json:"version"`
	Began   time.Time         `json:"began,omitzero"` // of the first booking
	At      time.Time         `json:"at,omitzero"`    // everything before it is booked
	Epoch   uint64            `json:"epoch"`          // of the ledger at At
	Leases  map[string]*Lease `json:"leases,omitempty"`
	Loans   map[string]int    `json:"loans,omitempty"` // GPUs on loan to each owner of leases
	Spare   []Spare           `json:"spare,omitempty"` // devices without a lease
	Rows    []Row             `json:"rows,omitempty"`  // by the minute, not sealed yet, oldest first
	Hours   []Row             `json:"hours,omitempty"` // of sealed minutes, not complete yet

	tally tally
}

// Lease is one replica's hold on GPUs.
type Lease struct {
	Account
	GPUs  int    `json:"gpus"`
	Lent  int    `json:"lent,omitempty"`  // of GPUs, on loan
	Told  Told   `json:"told"`            // what its agent said last
	Heard bool   `json:"heard,omitempty"` // it has said something
	Over  bool   `json:"over,omitempty"`  // it said its last word
	Open  []Open `json:"open,omitempty"`  // booked and not explained, oldest first

	at time.Time // everything before it is booked; a stored one is booked up to the meter's At
}

// Open is time of a lease that waits to be explained, in the row that begins at Start.
type Open struct {
	Start time.Time     `json:"start"`
	Left  time.Duration `json:"left"`
}

// Spare is a number of devices of one product that no lease holds, and why not.
type Spare struct {
	Product string `json:"product"`
	Cause   Cause  `json:"cause"`
	GPUs    int    `json:"gpus"`
}

// Advance takes over what holds the devices from now on. A time before the last one books nothing.
// What goes on as it was is booked later: by [Meter.Pass], or when it ends.
func (m *Meter) Advance(l scale.Ledger, now time.Time) {
	now = m.start(now)
	m.passSpare(now)
	m.take(l, now)
}

// Pass books everything up to now. It must come before the rows are read.
func (m *Meter) Pass(now time.Time) {
	now = m.start(now)
	m.passSpare(now)
	for _, id := range slices.Sorted(maps.Keys(m.Leases)) {
		m.passLease(m.Leases[id], now)
	}
}

// start is the time as rows have it; the first one begins the meter.
func (m *Meter) start(now time.Time) time.Time {
	now = now.UTC().Round(0)
	if m.At.IsZero() {
		m.Version, m.Began, m.At = Version, now, now
	}
	m.tally.turn(now)
	return now
}

// passSpare books what no lease held.
func (m *Meter) passSpare(now time.Time) {
	if !now.After(m.At) {
		return // told by two that looked at the clock one after the other
	}
	for span := range spans(m.At, now) {
		for _, s := range m.Spare {
			m.book(span.start, Account{Product: s.Product}, s.Cause, span.length*time.Duration(s.GPUs))
		}
	}
	m.At = now
}

// passLease books what one lease held.
func (m *Meter) passLease(x *Lease, now time.Time) {
	if !now.After(x.at) {
		return
	}
	for span := range spans(x.at, now) {
		m.hold(x, span.start, span.length)
	}
	x.at = now
}

// hold books time of a lease, to be explained.
func (m *Meter) hold(x *Lease, start time.Time, length time.Duration) {
	d := length * time.Duration(x.GPUs)
	if d == 0 {
		return
	}
	at := m.book(start, x.Account, Unknown, d)
	m.row(at).entry(x.Account).Lent += length * time.Duration(x.Lent)
	if n := len(x.Open); n > 0 && x.Open[n-1].Start.Equal(at) {
		x.Open[n-1].Left += d
		return
	}
	x.Open = append(x.Open, Open{Start: at, Left: d})
}

// book adds time to the row of a moment and returns the row's start. What comes late, since a clock
// was set back, goes into the oldest row that is still there.
func (m *Meter) book(at time.Time, a Account, c Cause, d time.Duration) time.Time {
	r := m.row(at)
	r.entry(a).Time.put(c, d)
	if a.Function != "" {
		m.tally.add(at, a, d)
	}
	return r.Start
}

// row finds or makes the open row of a moment.
func (m *Meter) row(at time.Time) *Row {
	start := at.Truncate(RowLength)
	if n := len(m.Rows); n > 0 && start.Before(m.Rows[0].Start) {
		return &m.Rows[0]
	}
	i, found := slices.BinarySearchFunc(m.Rows, start, func(r Row, t time.Time) int { return r.Start.Compare(t) })
	if !found {
		m.Rows = slices.Insert(m.Rows, i, Row{Start: start, Length: RowLength})
	}
	return &m.Rows[i]
}

// take notes who holds what from now on.
func (m *Meter) take(l scale.Ledger, now time.Time) {
	spare := map[Spare]int{}
	held := map[string]Lease{}
	l.Each(func(d scale.Device, x *scale.Lease, usable bool) {
		if x == nil {
			spare[Spare{Product: d.Product, Cause: causeOf(d, usable)}]++
			return
		}
		h := held[x.Holder]
		h.Account = Account{Function: strings.TrimPrefix(x.Owner, ownerPrefix), Product: d.Product}
		h.GPUs++
		held[x.Holder] = h
	})
	for _, x := range l.Leases { // of replicas without GPUs
		if x.State != scale.Released && len(x.Devices) == 0 {
			held[x.Holder] = Lease{Account: Account{Function: strings.TrimPrefix(x.Owner, ownerPrefix)}}
		}
	}
	m.change(held, now)
	m.spread(now)
	m.Epoch, m.Spare = l.Epoch, nil
	for s, n := range spare {
		s.GPUs = n
		m.Spare = append(m.Spare, s)
	}
	slices.SortFunc(m.Spare, func(a, b Spare) int {
		return cmp.Or(strings.Compare(a.Product, b.Product), strings.Compare(string(a.Cause), string(b.Cause)))
	})
}

// change books the leases that end or hold another number of GPUs, and begins the new ones.
func (m *Meter) change(held map[string]Lease, now time.Time) {
	for id, x := range m.Leases {
		h, still := held[id]
		if still && h.GPUs == x.GPUs {
			continue
		}
		m.passLease(x, now)
		if !still {
			m.close(x)
			delete(m.Leases, id)
			continue
		}
		x.GPUs = h.GPUs
	}
	for id, h := range held {
		if m.Leases[id] == nil {
			if m.Leases == nil {
				m.Leases = map[string]*Lease{}
			}
			h.at = now
			m.Leases[id] = &h
		}
	}
}

func causeOf(d scale.Device, usable bool) Cause {
	switch {
	case d.Foreign != "":
		return Foreign
	case !usable:
		return Unusable
	}
	return Free
}

// close explains the rest of a lease that ended: after the last word it was on its way out, before
// the first it was starting. What an agent that was cut off did last, nobody knows.
func (m *Meter) close(x *Lease) {
	switch {
	case x.Over:
		m.explainAll(x, Draining)
	case !x.Heard:
		m.explainAll(x, Cold)
	}
}

func compare(a, b Account) int {
	return cmp.Or(strings.Compare(a.Function, b.Function), strings.Compare(a.Product, b.Product))
}
