package kubernetes

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"stoker.dev/stoker/activities"
)

// retryGiveUp is the pause before giving up is tried again, where the API server did not take it.
const retryGiveUp = 5 * time.Second

// seen takes in a Pod of ours as it is now.
func (p *Provider) seen(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.replicas[pod.Name]
	if r == nil {
		r = &replica{}
		p.replicas[pod.Name] = r
	}
	if r.absent || !newer(pod, r.pod) {
		return
	}
	r.pod = pod
	if p.stopped.has(pod.Name) && pod.Annotations[AnnotationAsked] == "" && !ended(pod) {
		p.wg.Go(func() { p.endLateStart(pod) })
	}
	p.tell(r)
}

// endLateStart ends a Pod whose ID was stopped before it was created: by a platform that was killed
// with the call on its way.
func (p *Provider) endLateStart(pod *corev1.Pod) {
	p.o.Logger.Warn("a replica started after it was stopped; stopping it", "replica", pod.Name)
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	if err := p.Stop(ctx, pod.Name, 0); err != nil {
		p.o.Logger.Warn("a late start is not stopped yet", "replica", pod.Name, "err", err)
	}
}

// vanished takes in that a Pod is no more. One that nobody was to forget yet ended here and now.
func (p *Provider) vanished(obj any) {
	pod, ok := last(obj).(*corev1.Pod)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.replicas[pod.Name]
	if r == nil || r.pod == nil || r.pod.UID != pod.UID {
		return
	}
	if newer(pod, r.pod) {
		r.pod = pod
	}
	r.absent = true
	p.tell(r)
}

// tell posts what a replica is now; the provider is locked.
func (p *Provider) tell(r *replica) {
	s := p.status(r)
	if s.State != activities.RunStarting {
		r.rest()
	} else {
		p.judge(r)
	}
	p.board.Post(s)
}

// status is a replica's status; the provider is locked.
func (p *Provider) status(r *replica) activities.ReplicaStatus {
	s := statusOf(r.pod, p.lost(r.pod.Spec.NodeName))
	if r.absent && s.State != activities.RunGone {
		gone := r.pod.DeepCopy()
		gone.Status.Phase = corev1.PodFailed
		s = statusOf(gone, false)
	}
	if s.State == activities.RunGone {
		s.Ended = r.ended(s.Ended, p.o.Now())
	}
	return s
}

// ended is when a replica ended. A kubelet tells whole seconds, so the moment its word came is
// closer, unless that was long ago.
func (r *replica) ended(told, now time.Time) time.Time {
	if r.endAt.IsZero() {
		r.endAt = now
		if !told.IsZero() && now.Sub(told) > 2*time.Second {
			r.endAt = told
		}
	}
	return r.endAt
}

// lost tells whether a node is out of reach, or no more.
func (p *Provider) lost(node string) bool {
	if node == "" {
		return false
	}
	n, err := p.nodes.Get(node)
	return err != nil || !ready(n)
}

// nodeChanged tells anew what is on a node that came into reach or left it.
func (p *Provider) nodeChanged(before, now *corev1.Node) {
	if before != nil && now != nil && ready(before) == ready(now) {
		return
	}
	name := ""
	for _, n := range []*corev1.Node{before, now} {
		if n != nil {
			name = n.Name
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.replicas {
		if r.pod != nil && r.pod.Spec.NodeName == name {
			p.tell(r)
		}
	}
}

// judge sets the time at which a starting replica is given up; the provider is locked.
func (p *Provider) judge(r *replica) {
	v, id := verdictOn(r.pod), r.pod.Name
	r.rest()
	r.giveUp = time.AfterFunc(v.at.Sub(p.o.Now()), func() { p.wg.Go(func() { p.endStart(id, v) }) })
}

// rest ends the wait for a replica to run.
func (r *replica) rest() {
	if r.giveUp != nil {
		r.giveUp.Stop()
		r.giveUp = nil
	}
}

// endStart gives a replica up that still does not run.
func (p *Provider) endStart(id string, v verdict) {
	r := p.take(id)
	defer p.leave(id, r)
	pod := p.known(r)
	if p.ctx.Err() != nil || pod == nil || stateOf(pod, p.lost(pod.Spec.NodeName)) != activities.RunStarting {
		return
	}
	p.o.Logger.Warn("a replica is given up before it ran", "replica", id, "cause", v.cause, "message", v.message)
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	if err := p.end(ctx, r, pod, v.cause, v.message, 0); err != nil {
		p.o.Logger.Warn("a replica that does not run is not given up yet", "replica", id, "err", err)
		p.mu.Lock()
		defer p.mu.Unlock()
		r.giveUp = time.AfterFunc(retryGiveUp, func() { p.wg.Go(func() { p.endStart(id, v) }) })
	}
}
