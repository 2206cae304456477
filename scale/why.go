package scale

import "slices"

// reason says why the decision is what it is. A change keeps its reason until it is
// carried out, so that the reason does not flicker while replicas start and drain.
func (t *turn) reason(victims []string) Reason {
	grows, shrinks := t.goal > t.haveFresh(), len(t.victims) > 0
	switch {
	case t.spec.Deleting:
		return ReasonDeleting
	case t.spec.Paused:
		return ReasonPaused
	case grows:
		return t.growReason()
	case shrinks:
		return t.shrinkReason()
	case t.underWay(victims):
		return t.s.Last.Reason
	case t.want > t.goal && t.limit != ReasonNone:
		return t.blockedReason()
	}
	return t.restReason()
}

// growReason is why more replicas are started.
func (t *turn) growReason() Reason {
	f := t.s.Failures
	switch {
	case f.failing():
		return ReasonFailing
	case t.rolling():
		return ReasonRollout
	case t.s.Lost > 0 || f.Count > 0:
		return ReasonReplace
	case t.spec.Pinned != nil:
		return ReasonPinned
	case t.demand >= t.goal && t.have() == 0:
		return ReasonWakeFromZero
	case t.racing > 0 && t.goal > t.demand:
		return ReasonRace
	case t.demand >= t.goal && t.rising > t.backlog:
		return ReasonArrivals
	case t.demand >= t.goal:
		return ReasonBacklog
	case t.warm >= t.goal && t.spec.Min < t.goal:
		return ReasonPreWarm
	}
	return ReasonMinReplicas
}

// shrinkReason is why replicas are let go.
func (t *turn) shrinkReason() Reason {
	switch {
	case t.spec.Pinned != nil:
		return ReasonPinned
	case len(t.old) > t.oldKept && t.n > 0:
		return ReasonRollout
	case t.limit == ReasonBudget:
		return ReasonBudget
	case t.limit == ReasonShare || t.shareBinds():
		return ReasonShare
	case t.n == t.bounds().Max && t.peak > t.n:
		return t.topReason()
	case t.idleOver():
		return ReasonIdle
	}
	return ReasonOversized
}

// blockedReason is what keeps everything that is wanted from being started.
func (t *turn) blockedReason() Reason {
	if t.limit == ReasonNoGPU && t.rolling() && t.oldKept+t.draining > 0 {
		return ReasonRollout
	}
	return t.limit
}

// underWay is whether the last change is still being carried out: replicas that were
// started for it do not serve yet, or those it let go are not gone.
func (t *turn) underWay(victims []string) bool {
	last := t.s.Last
	if last.Revision != t.spec.Revision || last.Target != t.goal+len(t.keptAside()) {
		return false
	}
	starts := []Reason{ReasonWakeFromZero, ReasonBacklog, ReasonArrivals, ReasonRace, ReasonPreWarm, ReasonReplace, ReasonRollout, ReasonPinned, ReasonMinReplicas, ReasonFailing}
	if serving(t.fresh) < t.goal && slices.Contains(starts, last.Reason) {
		return true
	}
	stops := []Reason{ReasonIdle, ReasonOversized, ReasonRollout, ReasonPinned, ReasonMaxReplicas, ReasonBudget, ReasonShare}
	return len(victims) > 0 && slices.Contains(stops, last.Reason)
}

// restReason is why nothing changes.
func (t *turn) restReason() Reason {
	calm := t.isIdle() && t.idle >= IdleAfter
	switch {
	case t.rolling() && t.n > 0:
		return ReasonRollout
	case t.spec.Pinned != nil:
		return ReasonPinned
	case t.n == 0 && t.s.Failures.failing():
		return ReasonFailing
	case t.limit == ReasonBudget || t.limit == ReasonShare || t.limit == ReasonNoGPU:
		return t.limit
	case t.n == 0:
		return ReasonIdle
	case t.n == t.bounds().Max && t.peak > t.n:
		return t.topReason()
	case !calm && t.s.Last.Reason == ReasonNoGPU && t.peak > t.goal && t.room() == 0:
		return ReasonNoGPU // wanted a moment ago: load that ripples makes no decisions
	case t.warm == t.n && t.n > t.spec.Min:
		return ReasonPreWarm
	case t.idleOver() && t.n > t.spec.Min:
		return ReasonSilent
	case calm && t.n == t.spec.Min:
		return ReasonMinReplicas
	case calm:
		return ReasonKeepAlive
	}
	return ReasonSteady
}

// phase is the function's state in one word.
func (t *turn) phase() FunctionPhase {
	there := serving(t.fresh) + serving(t.old)
	switch {
	case t.spec.Deleting:
		return PhaseDeleting
	case t.spec.Paused:
		return PhasePaused
	case t.s.Failures.failing() && there == 0:
		return PhaseFailing
	case t.goal+t.oldKept == 0:
		return t.phaseAtNone()
	case there == 0:
		return PhaseWaking
	case t.isIdle() && t.idle >= IdleAfter:
		return PhaseIdle
	}
	return PhaseServing
}

// phaseAtNone is the phase of a function none of whose replicas is to run.
func (t *turn) phaseAtNone() FunctionPhase {
	goes := t.draining+len(t.victims) > 0
	switch {
	case max(t.want, t.demand) > 0 && t.limit == ReasonNoGPU && !goes, t.limit == ReasonBudget && !goes, t.limit == ReasonShare && !goes:
		return PhaseWaiting
	case t.want > 0:
		return PhaseWaking
	case len(t.keptAside()) > 0:
		return PhaseIdle
	case goes:
		return PhaseDraining
	}
	return PhaseZero
}
