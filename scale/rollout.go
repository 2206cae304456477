package scale

// roll splits n over the revisions, picks victims, and bounds what is started by the GPUs
// that are free and by what failures allow. Without old replicas it is plain scaling.
//
// A rollout surges by one: an old replica goes when a current one serves in its place.
// Where no GPU is free for the surge, one old replica is drained first; the next such step
// waits until a current replica has taken the freed GPU.
func (t *turn) roll() {
	t.oldKept = clamp(t.n-serving(t.fresh), 0, len(t.old))
	t.retire(t.old, len(t.old)-t.oldKept)
	t.want = max(min(t.n, t.n+1-t.oldKept), min(t.haveFresh(), t.n))
	t.goal = t.want
	if t.want > t.haveFresh() {
		t.grow()
	} else {
		t.retire(t.fresh, len(t.fresh)-t.want)
	}
	if t.mustBeNone() {
		t.retire(t.aside, len(t.aside))
	}
	t.limitByBounds()
}

// retire names the k replicas that lose least by going.
func (t *turn) retire(replicas []Replica, k int) {
	if k <= 0 {
		return
	}
	for _, r := range inOrderOfLeaving(replicas)[:min(k, len(replicas))] {
		t.victims = append(t.victims, r.ID)
		if r.Phase == Starting {
			t.s.teach(calledOff, t.now.Sub(r.Since))
		}
	}
}

// grow bounds what is started.
func (t *turn) grow() {
	have := t.haveFresh()
	room, gate := t.room(), t.gate()
	t.goal = min(t.want, have+min(room, gate))
	switch {
	case t.goal == t.want:
	case gate <= room:
		t.limit = t.s.Failures.reason()
	default:
		t.limit = ReasonNoGPU
	}
	if room == 0 && gate > 0 && t.mayRecreate() {
		t.retire(t.old, 1)
		t.oldKept--
		t.s.Recreate = have + 1
		t.s.Lost++ // its place is to be taken
	}
}

// mayRecreate is whether an old replica may be drained for its GPU: nothing is on its way
// out or in, and the last one drained so has got its successor.
func (t *turn) mayRecreate() bool {
	return t.oldKept > 0 && t.draining == 0 && len(t.victims) == 0 && t.unseen == 0 &&
		count(t.fresh, Starting) == 0 && t.haveFresh() >= t.s.Recreate
}

// limitByBounds names the manifest's or people's bound where nothing else was in the way.
func (t *turn) limitByBounds() {
	if t.limit != ReasonNone {
		return
	}
	asked := max(t.demand, t.spec.Min)
	if t.spec.Pinned != nil {
		asked = *t.spec.Pinned
	}
	switch {
	case t.spec.Deleting:
		t.limit = ReasonDeleting
	case t.spec.Paused:
		t.limit = ReasonPaused
	case asked > t.bounds().Max:
		t.limit = t.topReason()
		if t.limit == ReasonShare && len(t.victims) == 0 && t.room() == 0 { // there would be none anyway
			t.limit = ReasonNoGPU
		}
	case t.spec.Pinned != nil && t.demand > t.n:
		t.limit = ReasonPinned
	}
}

// rolling is whether a rollout is under way.
func (t *turn) rolling() bool { return len(t.old) > 0 || t.s.Recreate > t.haveFresh() }
