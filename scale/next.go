package scale

import "time"

// next is the earliest moment at which the decision may change without new input; zero if
// there is none. It is always after now: what is due has been acted on.
func (t *turn) next() time.Time {
	if t.spec.Deleting || t.spec.Paused {
		return time.Time{}
	}
	var due soonest
	due.after = t.now
	if t.want > t.goal || t.s.Failures.Asked {
		due.add(t.s.Failures.Until)
	}
	if t.isIdle() && t.oldKept+t.goal > 0 {
		due.add(t.s.IdleSince.Add(IdleAfter))
		if t.n > t.spec.Min {
			due.add(t.s.IdleSince.Add(t.keepAlive))
		}
	}
	if o := t.outlook; t.isIdle() && o.to > 0 {
		due.add(t.s.IdleSince.Add(o.start))
		due.add(t.s.IdleSince.Add(o.to))
	}
	if t.oldKept+t.goal > 0 {
		due.add(t.heldUntil)
	}
	if t.rising > t.backlog { // falls by itself
		due.add(t.now.Add(rateLook))
	}
	if t.isShort() {
		due.add(t.now.Add(ShareTurn)) // its turn may come
	}
	t.addPlacing(&due)
	t.addReplicas(&due)
	return due.at
}

// addPlacing is when replicas that do not show up stop counting.
func (t *turn) addPlacing(due *soonest) {
	switch unseen := t.goal - t.stayingFresh(); {
	case unseen > t.unseen:
		due.add(t.now.Add(PlaceGrace))
	case unseen > 0:
		due.add(t.s.Placing.Until)
	}
}

// addReplicas is when silent replicas are set aside, and when ready ones have stood long
// enough to end a crash loop.
func (t *turn) addReplicas(due *soonest) {
	for _, r := range t.fresh {
		switch {
		case r.Phase == Silent && t.pending > 0:
			due.add(r.Since.Add(SilentReplace))
		case r.Phase == Ready && t.s.Failures.Count > 0 && r.Since.After(t.s.Failures.At):
			due.add(r.Since.Add(SettleTime))
		}
	}
}

// soonest keeps the earliest time later than after.
type soonest struct{ after, at time.Time }

func (s *soonest) add(at time.Time) {
	if at.After(s.after) && (s.at.IsZero() || at.Before(s.at)) {
		s.at = wall(at)
	}
}
