package scale

// bound turns demand into the number of replicas there should be: what people ordered, or
// demand held up by the window, the keep-alive and replicas out of reach, within the
// manifest's bounds.
func (t *turn) bound() {
	spec := t.bounds()
	switch {
	case spec.Deleting || spec.Paused:
		t.n = 0
		t.watch(0)
		return
	case spec.Pinned != nil:
		t.n = clamp(*spec.Pinned, 0, spec.Max)
		t.wish = clamp(*spec.Pinned, 0, t.spec.Max)
		t.watch(t.n)
		return
	}
	t.watch(max(t.demand, spec.Min))
	t.racing = min(t.hedge(), max(0, min(t.have()+t.room(), spec.Max)-t.demand))
	t.n = max(t.demand+t.racing, t.held(), count(t.fresh, Silent))
	t.wish = clamp(t.n, t.spec.Min, t.spec.Max)
	t.warm = min(t.warming(), spec.Max)
	t.n = clamp(max(t.n, t.warm), spec.Min, spec.Max)
}

// bounds are the manifest's, with what the budget allows, and what others leave while GPUs are
// short, as lower maxima.
func (t *turn) bounds() Spec {
	spec := t.spec
	for _, most := range []*int{t.obs.Budget, t.obs.Share} {
		if most != nil && *most < spec.Max {
			spec.Max = max(*most, 0)
			spec.Min = min(spec.Min, spec.Max)
		}
	}
	return spec
}

// topReason is what sets the maximum: the manifest, the budget, or what others are due.
func (t *turn) topReason() Reason {
	top, b := t.bounds().Max, t.obs.Budget
	switch {
	case top == t.spec.Max:
		return ReasonMaxReplicas
	case b != nil && max(*b, 0) == top:
		return ReasonBudget
	}
	return ReasonShare
}

// watch puts what is needed now into the window. What was needed before held until now.
func (t *turn) watch(need int) {
	if need == 0 && t.s.Need == 0 && t.obs.Ended > 0 { // came and went between two calls
		t.noteGaps(0, 1)
		t.s.Window.push(1, t.now)
	}
	t.noteGaps(t.s.Need, need)
	t.s.Window.push(t.s.Need, t.now)
	t.s.Window.push(need, t.now)
	t.s.Need = need
	t.peak = t.s.Window.Peak(t.now)
	t.heldN, t.heldUntil = t.heldLevel()
}

// held is how many replicas are kept beyond demand. Only what is there, or was lost
// unasked, is held: the past starts nothing.
func (t *turn) held() int {
	there := t.have() + t.s.Lost
	if t.idleOver() {
		return 0
	}
	return max(min(t.heldN, t.s.Size, there), min(1, there))
}

// idleOver is whether the keep-alive has run out.
func (t *turn) idleOver() bool { return t.isIdle() && t.idle >= t.keepAlive }

// room is how many more replicas the free GPUs can take, as far as is known. What was
// decided on and is not observed yet may not have its GPUs, so it is subtracted; should it
// have them, the room is found a moment later.
func (t *turn) room() int {
	if t.obs.FreeGPUs < 0 || t.spec.GPUs == 0 {
		return MaxReplicas
	}
	return max(0, t.obs.FreeGPUs/t.spec.GPUs-t.unseen)
}
