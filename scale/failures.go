package scale

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Constants of the crash-loop rule.
const (
	// BackoffFirst is the wait after the first failure; it doubles with each further one.
	BackoffFirst = time.Second
	// BackoffMax ends the doubling, so that a repaired function is tried again soon.
	BackoffMax = 5 * time.Minute
	// FailingAfter consecutive failures (about 15 s of waiting in all) the queue answers
	// fail fast instead of letting callers wait for a replica that will not come.
	FailingAfter = 5
	// ShortLife is the time after ready within which an exit counts as a failed start.
	ShortLife = 10 * time.Second
	// SettleTime is how long a replica must have been ready to count as a success without
	// having answered anything.
	SettleTime = time.Minute

	maxFailures  = 1000 // the count stops there; the wait stopped growing long before
	maxSeen      = 64   // exits told apart; more than one function loses between two calls
	maxExitBytes = 2048 // of the last failure's log lines, which travel with the state
)

// Failures counts replicas that ended without having been of use, one after another.
// Replicas that fall during a backoff fell with the one that began it and count once.
type Failures struct {
	Revision string    `json:"revision,omitempty"` // a new one begins afresh
	Count    int       `json:"count,omitempty"`
	At       time.Time `json:"at,omitzero"`     // of the last one counted
	Until    time.Time `json:"until,omitzero"`  // no start before
	Asked    bool      `json:"asked,omitempty"` // somebody wanted the function since the last failure
	Cause    string    `json:"cause,omitempty"`
	Message  string    `json:"message,omitempty"`
	Seen     []string  `json:"seen,omitempty"` // IDs of the exits taken in last
}

// failing is whether the function is given up on, but for a probe per backoff.
func (f Failures) failing() bool { return f.Count >= FailingAfter }

// reason is what a start withheld by failures is called.
func (f Failures) reason() Reason {
	if f.failing() {
		return ReasonFailing
	}
	return ReasonBackoff
}

// wait is the backoff after the count-th failure.
func (f Failures) wait() time.Duration {
	d := BackoffFirst
	for i := 1; i < f.Count && d < BackoffMax; i++ {
		d *= 2
	}
	return min(d, BackoffMax)
}

// learnFailures takes in the exits of an observation, and successes.
func (t *turn) learnFailures() {
	f := &t.s.Failures
	if f.Revision != t.spec.Revision {
		*f = Failures{Revision: t.spec.Revision, Seen: f.Seen}
	}
	for _, e := range t.newExits() {
		t.lost++
		if e.Revision == "" || e.Revision == t.spec.Revision {
			*f = f.after(e, t.now)
		}
	}
	if f.Count > 0 && slices.ContainsFunc(t.obs.Replicas, t.success) {
		*f = Failures{Revision: f.Revision, Seen: f.Seen}
	}
	f.Asked = f.failing() && (f.Asked || t.pending > 0 || t.obs.Refused > 0)
}

// newExits are the exits not taken in before and not asked for, oldest first.
func (t *turn) newExits() []Exit {
	var out []Exit
	for _, e := range t.obs.Exits {
		if slices.Contains(t.s.Failures.Seen, e.ID) {
			continue
		}
		seen := append(slices.Clone(t.s.Failures.Seen), e.ID)
		t.s.Failures.Seen = seen[max(0, len(seen)-maxSeen):]
		if !slices.Contains(t.s.Last.Victims, e.ID) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b Exit) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out
}

// after counts one exit.
func (f Failures) after(e Exit, now time.Time) Failures {
	at := notAfter(e.At, now)
	if at.IsZero() {
		at = now
	}
	lived := e.Ready && (e.ReadyFor >= SettleTime || e.Served > 0 && e.ReadyFor >= ShortLife)
	f.Cause, f.Message = e.Cause, lastBytes(e.Message, maxExitBytes)
	switch {
	case lived: // an accident after a useful life, not a loop
		f.Count, f.Until = 0, time.Time{}
		return f
	case f.Count > 0 && at.Before(f.Until):
		return f
	case e.Served > 0: // it was of use before it fell: the loop begins anew
		f.Count = 0
	}
	f.Count = min(f.Count+1, maxFailures)
	f.At, f.Until, f.Asked = at, at.Add(f.wait()), false
	return f
}

// success is whether a replica shows that the revision works: it became ready after the
// last failure and has answered a request or stood for SettleTime. A healthy sibling from
// before proves nothing about those that fall beside it.
func (t *turn) success(r Replica) bool {
	return r.Revision == t.spec.Revision && r.Phase == Ready && r.Since.After(t.s.Failures.At) &&
		(r.Served > 0 || !t.now.Before(r.Since.Add(SettleTime)))
}

// gate is how many replicas failures allow to be started now: one at a time, each after
// its backoff.
func (t *turn) gate() int {
	f := t.s.Failures
	switch {
	case f.Count == 0:
		return MaxReplicas
	case t.now.Before(f.Until), t.unseen > 0, count(t.fresh, Starting) > 0:
		return 0
	}
	return 1
}

func (f Failures) settled(now time.Time) Failures {
	f.Count = clamp(f.Count, 0, maxFailures)
	f.At = notAfter(f.At, now)
	f.Until = notAfter(f.Until, now.Add(BackoffMax))
	f.Seen = f.Seen[max(0, len(f.Seen)-maxSeen):]
	return f
}

// lastBytes keeps the end of a text, where the error is, as valid UTF-8.
func lastBytes(s string, n int) string {
	if len(s) > n {
		s = "…" + s[len(s)-n:]
	}
	return strings.ToValidUTF8(s, "")
}
