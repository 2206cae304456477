package history

import (
	"fmt"
	"slices"
	"time"
)

// requests checks promise 1 for every id that was sent.
func (h *history) requests(b Bounds) []Violation {
	var out []Violation
	for _, id := range h.requestIDs() {
		q := h.request[id]
		if len(q.sent) == 0 {
			continue // [history.unsent]
		}
		for _, check := range []func() *Violation{q.lost, q.twice, q.unrun, q.refusedButRun, q.contradicted, q.misdelivered} {
			if v := check(); v != nil {
				out = append(out, *v)
			}
		}
		if v := h.late(q, b); v != nil {
			out = append(out, *v)
		}
	}
	return out
}

func (q *request) violates(kind Broken, says string, evidence ...[]Record) *Violation {
	return &Violation{kind, []string{q.id}, says, slices.Concat(append([][]Record{q.sent, q.outcome}, evidence...)...)}
}

// accepted is whether the publisher knows that the request is stored: by its acknowledgement or by its answer.
func (q *request) accepted() bool {
	return len(q.answered) > 0 || slices.ContainsFunc(q.outcome, func(r Record) bool { return r.Kind == Acked })
}

func (q *request) lost() *Violation {
	if !q.accepted() || len(q.stored) > 0 {
		return nil
	}
	return q.violates(Lost, "it was accepted and has no terminal record", q.answered, q.began, q.ended)
}

func (q *request) twice() *Violation {
	if len(q.stored) < 2 {
		return nil
	}
	return q.violates(Twice, fmt.Sprintf("it has %d terminal records", len(q.stored)), q.stored)
}

// statusOK is the status of a result, in the words of terminal records.
const statusOK = "ok"

func (q *request) unrun() *Violation {
	for _, s := range q.stored {
		ran := slices.ContainsFunc(q.ended, func(e Record) bool { return e.Replica == s.Replica })
		if s.Status == statusOK && !ran {
			return q.violates(Unrun, "its record says ok, and replica "+s.Replica+" never ran it to its end", q.stored, q.began, q.ended)
		}
	}
	return nil
}

// refusedButRun is about requests of which no try can have been stored.
func (q *request) refusedButRun() *Violation {
	clear := len(q.outcome) >= len(q.sent) && !slices.ContainsFunc(q.outcome, func(r Record) bool { return r.Kind != Refused })
	if !clear || q.accepted() || len(q.stored)+len(q.began) == 0 {
		return nil
	}
	return q.violates(RefusedButRun, "every try was refused, and yet it was taken", q.stored, q.began)
}

// contradicted compares what came over the wire with the record of which it is a copy.
func (q *request) contradicted() *Violation {
	if len(q.stored) != 1 {
		return nil
	}
	s := q.stored[0]
	for _, a := range q.answered {
		if a.Status != s.Status || a.Attempt != s.Attempt {
			says := fmt.Sprintf("it was answered %s at attempt %d, and its record says %s at attempt %d", a.Status, a.Attempt, s.Status, s.Attempt)
			return q.violates(Contradicted, says, q.answered, q.stored)
		}
	}
	return nil
}

// misdelivered finds an answer that holds another request's payload.
func (q *request) misdelivered() *Violation {
	for _, a := range q.answered {
		if a.Nonce != "" && a.Nonce != q.sent[0].Nonce {
			return q.violates(Contradicted, "its answer belongs to the request with nonce "+a.Nonce, q.answered)
		}
	}
	return nil
}

func (h *history) late(q *request, b Bounds) *Violation {
	late := h.lateness(q)
	if late <= b.Late {
		return nil
	}
	return q.violates(Late, fmt.Sprintf("its record came %s after its deadline, allowed: %s", late.Round(time.Millisecond), b.Late), q.stored, q.began, q.ended)
}

// lateness is how long after its deadline a request had its record, less what is excused; negative: before it.
func (h *history) lateness(q *request) time.Duration {
	if len(q.stored) == 0 || len(q.sent) == 0 || q.sent[0].Deadline.IsZero() {
		return -1
	}
	deadline, at := q.sent[0].Deadline, q.stored[0].At
	return at.Sub(deadline) - h.excused(q.stored[0].Function, span{deadline, at})
}

// unsent finds traces of requests that nobody sent.
func (h *history) unsent() []Violation {
	var out []Violation
	for _, id := range h.requestIDs() {
		q := h.request[id]
		if len(q.sent) > 0 {
			continue
		}
		traces := slices.Concat(q.outcome, q.answered, q.stored, q.began, q.ended)
		out = append(out, Violation{Unsent, []string{id}, "nobody sent it", traces})
	}
	return out
}
