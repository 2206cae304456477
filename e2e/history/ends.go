package history

import (
	"fmt"
	"slices"
)

// causeDrained and causeKilled are the provider's words for replicas that were asked to go: in time, and past their
// grace.
const (
	causeDrained = "drained"
	causeKilled  = "killed"
)

// ends checks promise 5: a replica that nobody hit ends only because it was asked to, and one of a steady function,
// which is never asked to, does not end at all. A replica whose process was stopped for a while was out of reach,
// which is no reason to end it.
func (h *history) ends() []Violation {
	var out []Violation
	for _, id := range h.replicaIDs() {
		p := h.replica[id]
		for _, r := range p.provider {
			if why := h.unasked(p, r); why != "" {
				out = append(out, Violation{Restarted, []string{id}, why, slices.Concat(p.hit, p.holds, p.process, []Record{r})})
			}
		}
	}
	return out
}

// unasked says what is wrong with the end of a replica; "" if nothing is.
func (h *history) unasked(p *replica, r Record) string {
	switch {
	case r.Until.IsZero() || p.struck(Kill, r) || p.quitBefore(r):
		return ""
	case len(p.process)+len(p.holds) == 0:
		return "" // it never ran: a start that was interrupted
	case h.steady[p.function]:
		if h.closing.IsZero() || r.Until.Before(h.closing) {
			return fmt.Sprintf("a healthy replica of %s, which is never asked to go, ended (%s)", p.function, r.Cause)
		}
		return ""
	case r.Cause == causeDrained:
		return ""
	case r.Cause == causeKilled && p.struck(Stop, r):
		return "" // asked to go while it could not hear
	default:
		return "nobody touched it, and it ended with cause " + r.Cause
	}
}

// struck tells whether a fault hit the replica before its end.
func (p *replica) struck(what string, end Record) bool {
	return slices.ContainsFunc(p.hit, func(f Record) bool { return f.What == what && !f.At.After(end.Until) })
}

func (p *replica) quitBefore(end Record) bool {
	return slices.ContainsFunc(p.quit, func(q Record) bool { return !q.At.After(end.Until) })
}
