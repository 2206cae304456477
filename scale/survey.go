package scale

import (
	"cmp"
	"slices"
)

// survey sorts the observed replicas by what can be counted on. A replica that drains, or
// was named a victim before, counts as gone already: a drain cannot be taken back.
func (t *turn) survey() {
	replicas := sortedByID(t.obs.Replicas)
	n := 0
	for n < len(replicas) && t.standing(replicas[n]) == isFresh {
		n++
	}
	t.fresh = replicas[:n:n] // nearly always all: then they need no list of their own
	for _, r := range replicas[n:] {
		switch t.standing(r) {
		case isGone:
		case isLeaving:
			t.leaving = append(t.leaving, r.ID)
			t.draining++
		case isDraining:
			t.draining++
		case isOld:
			t.old = append(t.old, r)
		case isAside:
			t.aside = append(t.aside, r)
		case isFresh:
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

// standing is what a replica counts as.
type standing int

const (
	isFresh standing = iota
	isOld
	isAside
	isLeaving
	isDraining
	isGone
)

func (t *turn) standing(r Replica) standing {
	switch {
	case r.Phase == Gone:
		return isGone
	case slices.Contains(t.s.Last.Victims, r.ID):
		return isLeaving
	case r.Phase == Draining:
		return isDraining
	case r.Revision != t.spec.Revision:
		return isOld
	case t.overdue(r):
		return isAside
	}
	return isFresh
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

// overdue is whether a silent replica is no longer counted on: since requests wait that it
// does not take, until it is heard again. It keeps its lease; unreachable is not failed.
func (t *turn) overdue(r Replica) bool {
	if r.Phase != Silent {
		return false
	}
	long := !t.now.Before(r.Since.Add(SilentReplace))
	return long && t.pending > 0 || slices.Contains(t.s.Aside, r.ID)
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
