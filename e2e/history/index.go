package history

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// history is the records in the order that the checks ask for them.
type history struct {
	steady   map[string]bool     // function
	request  map[string]*request // id
	replica  map[string]*replica // replica ID
	looks    []Record            // by At
	conflict []Record
	gone     []Record
	left     []Record
	away     map[string][]span // function → when nobody could be expected to work; "" for all
	closing  time.Time
	complete bool
}

// request is one id.
type request struct {
	id       string
	sent     []Record
	outcome  []Record // acked, refused, unknown
	answered []Record
	stored   []Record
	began    []Record
	ended    []Record
}

// replica is one replica ID.
type replica struct {
	id       string
	function string
	holds    []Record // model servers of one replica: one, unless the history is wrong
	process  []Record
	provider []Record
	hit      []Record // faults on its processes
	quit     []Record
}

// span is a stretch of time; a zero end means that it lasts.
type span struct{ from, to time.Time }

func index(records []Record) *history {
	h := &history{
		steady: map[string]bool{}, request: map[string]*request{}, replica: map[string]*replica{}, away: map[string][]span{},
	}
	records = slices.Clone(records)
	slices.SortStableFunc(records, func(a, b Record) int { return a.At.Compare(b.At) })
	for _, r := range records {
		h.add(r)
	}
	h.away[""] = outages(records, Platform, "")
	for _, r := range h.replica {
		h.away[r.function] = append(h.away[r.function], outages(r.hit, Agent, r.id)...)
	}
	return h
}

// add sorts one record in.
func (h *history) add(r Record) {
	switch r.Kind {
	case Declared:
		h.steady[r.Function] = r.Steady
	case Sent, Acked, Refused, Unknown, Answered, Stored, Began, Ended:
		h.of(r.ID).add(r)
	case Holds, Process, Replica, Quit, Fault:
		if r.Replica != "" {
			h.by(r.Replica).add(r)
		}
	case Conflict:
		h.conflict = append(h.conflict, r)
	case Look:
		h.looks = append(h.looks, r)
	case Vanished:
		h.gone = append(h.gone, r)
	case Left:
		h.left = append(h.left, r)
	case Closing:
		h.closing = r.At
	case Complete:
		h.complete = true
	}
}

func (h *history) of(id string) *request {
	if h.request[id] == nil {
		h.request[id] = &request{id: id}
	}
	return h.request[id]
}

func (h *history) by(id string) *replica {
	if h.replica[id] == nil {
		h.replica[id] = &replica{id: id}
	}
	return h.replica[id]
}

func (q *request) add(r Record) {
	list := map[Kind]*[]Record{
		Sent: &q.sent, Acked: &q.outcome, Refused: &q.outcome, Unknown: &q.outcome,
		Answered: &q.answered, Stored: &q.stored, Began: &q.began, Ended: &q.ended,
	}[r.Kind]
	*list = append(*list, r)
}

func (p *replica) add(r Record) {
	p.function = cmp.Or(p.function, r.Function)
	list := map[Kind]*[]Record{Holds: &p.holds, Process: &p.process, Replica: &p.provider, Quit: &p.quit, Fault: &p.hit}[r.Kind]
	*list = append(*list, r)
}

// requestIDs and replicaIDs are sorted, so that the same history has the same violations in the same order.
func (h *history) requestIDs() []string { return slices.Sorted(maps.Keys(h.request)) }
func (h *history) replicaIDs() []string { return slices.Sorted(maps.Keys(h.replica)) }

// outages are when a program was down or stopped, from its faults in order: a platform from the fault until it is
// ready again or goes on; an agent only while it is stopped, since a killed one is replaced.
func outages(records []Record, program, replica string) []span {
	var out []span
	open := false
	for _, r := range records {
		if r.Kind != Fault || r.Program != program || r.Replica != replica {
			continue
		}
		down := r.What == Stop || r.What == Kill && program == Platform
		up := r.What == Cont || r.What == Ready || r.What == Kill && program != Platform
		switch {
		case down && !open:
			out, open = append(out, span{from: r.At}), true
		case up && open:
			out[len(out)-1].to, open = r.At, false
		}
	}
	return out
}

// excused is how much of a stretch lies in outages of the platform or of a function's agents, none counted twice.
func (h *history) excused(function string, s span) time.Duration {
	away := slices.Concat(h.away[""], h.away[function])
	slices.SortFunc(away, func(a, b span) int { return a.from.Compare(b.from) })
	var sum time.Duration
	at := s.from
	for _, x := range away {
		from, to := later(x.from, at), x.to
		if to.IsZero() || to.After(s.to) {
			to = s.to
		}
		if from.Before(to) {
			sum += to.Sub(from)
			at = to
		}
	}
	return sum
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
