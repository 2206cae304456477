package scale

import (
	"cmp"
	"slices"
)

// survey sorts the observed replicas by what can be counted on. A replica that drains, or
// was named a victim before, counts as gone already: a drain cannot be taken back.
func (t *turn) survey() {
	t.fresh = make([]Replica, 0, len(t.obs.Replicas)) // nearly always all of them
	for _, r := range sortedByID(t.obs.Replicas) {
		named := slices.Contains(t.s.Last.Victims, r.ID)
		switch {
		case r.Phase == Gone:
		case named:
			t.leaving = append(t.leaving, r.ID)
			t.draining++
		case r.Phase == Draining:
			t.draining++
		case r.Revision != t.spec.Revision:
			t.old = append(t.old, r)
		case t.isAside(r):
			t.aside = append(t.aside, r)
		default:
			t.fresh = append(t.fresh, r)
		}
	}
	if t.s.Last.Revision != t.spec.Revision {
		t.s.Recreate, t.s.Placing = 0, Placing{} // both were about another revision
	}
	t.expect()
	if t.s.Version == 0 { // never decided on: what runs was adopted, and is not surplus at once
		t.s.Size, t.s.Need = t.have(), t.have()
	}
	t.s.Lost = min(t.s.Lost+t.lost, max(0, t.s.Size-t.have()))
	if t.s.Failures.failing() { // only who asks gets a probe
		t.s.Lost = 0
	}
}

// sortedByID leaves the observation as it is; one that is sorted already is not copied.
func sortedByID(replicas []Replica) []Replica {
	byID := func(a, b Replica) int { return cmp.Compare(a.ID, b.ID) }
	if slices.IsSortedFunc(replicas, byID) {
		return replicas
	}
	replicas = slices.Clone(replicas)
	slices.SortStableFunc(replicas, byID)
	return replicas
}

// isAside is whether a silent replica is no longer counted on: since requests wait that it
// does not take, until it is heard again. It keeps its lease; unreachable is not failed.
func (t *turn) isAside(r Replica) bool {
	if r.Phase != Silent {
		return false
	}
	overdue := !t.now.Before(r.Since.Add(SilentReplace))
	return overdue && t.pending > 0 || slices.Contains(t.s.Aside, r.ID)
}

// expect counts the replicas that were decided on and are not observed yet. They count as
// there until PlaceGrace has passed, or one that ended accounts for them.
func (t *turn) expect() {
	p := t.s.Placing
	if !t.now.Before(p.Until) {
		return
	}
	t.unseen = max(0, min(p.Unseen, p.Goal-len(t.fresh))-t.lost)
}

// keptAside are the replicas set aside that the target still counts: all of them, unless
// nothing at all is to run.
func (t *turn) keptAside() []Replica {
	if t.mustBeNone() {
		return nil
	}
	return t.aside
}

// mustBeNone is whether somebody wants no replica at all, reachable or not.
func (t *turn) mustBeNone() bool {
	return t.spec.Deleting || t.spec.Paused || t.spec.Pinned != nil && *t.spec.Pinned <= 0
}

func count(replicas []Replica, phase ReplicaPhase) int {
	n := 0
	for _, r := range replicas {
		if r.Phase == phase {
			n++
		}
	}
	return n
}

// serving counts the replicas that take requests, as far as anybody knows.
func serving(replicas []Replica) int { return count(replicas, Ready) + count(replicas, Silent) }

// inOrderOfLeaving sorts replicas so that the first lose least by going: not ready before
// ready, then the fewest requests in flight, then the youngest, then by ID. Silent ones
// come last, since nobody knows what they are doing.
func inOrderOfLeaving(replicas []Replica) []Replica {
	out := slices.Clone(replicas)
	slices.SortFunc(out, func(a, b Replica) int {
		return cmp.Or(
			cmp.Compare(leavingRank(a), leavingRank(b)),
			cmp.Compare(a.InFlight, b.InFlight),
			b.Since.Compare(a.Since),
			cmp.Compare(a.ID, b.ID),
		)
	})
	return out
}

func leavingRank(r Replica) int {
	switch r.Phase {
	case Ready:
		return 1
	case Silent:
		return 2
	default:
		return 0
	}
}
