package kubernetes

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
)

// retryEnd is the pause before an end is tried again that the API server did not take.
const retryEnd = 5 * time.Second

// kubeletWord is how long a kubelet may take to tell what runs once the API server is back, or it is: it tries
// again every 10 s (syncPeriod of its status manager).
const kubeletWord = 15 * time.Second

// changedPod takes in a change of a Pod. One that loses our label is still ours, whoever took it: it holds
// its GPUs, and nobody else would end it.
func (p *Provider) changedPod(before, now any) {
	was, is := before.(*corev1.Pod), now.(*corev1.Pod)
	switch {
	case p.isOurs(is):
		p.seen(is)
	case p.isOurs(was):
		p.mu.Lock()
		defer p.mu.Unlock()
		p.spawn(func() { p.relabel(is) })
	}
}

// relabel puts our label back, however long that takes: without it the Pod is not seen to end.
func (p *Provider) relabel(pod *corev1.Pod) {
	if now, err := p.pods.Pods(pod.Namespace).Get(pod.Name); err != nil || now.UID != pod.UID || p.isOurs(now) || p.ctx.Err() != nil {
		return // gone, or somebody else put it back
	}
	p.o.Logger.Warn("somebody took the label off a replica's Pod; putting it back", "replica", pod.Name, "label", LabelPool)
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"labels":{%q:%q}}}`, pod.UID, LabelPool, p.o.Pool)
	if _, err := p.o.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		p.o.Logger.Error("a replica's Pod is without its label, trying again: it is not seen to end", "replica", pod.Name, "err", err)
		p.later(retryEnd, func() { p.relabel(pod) })
	}
}

// seen takes in a Pod of ours as it is now.
func (p *Provider) seen(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.replicas[pod.Name]
	if r == nil {
		r = &replica{}
		p.replicas[pod.Name] = r
	}
	if pod.UID == r.past || !newer(pod, r.pod) || r.absent && pod.UID == r.pod.UID {
		return
	}
	if r.pod != nil && !r.absent && pod.Namespace != r.pod.Namespace {
		return // a copy, with the labels of the one that is there
	}
	late := r.absent || p.stopped.has(pod.Name) // gone is gone: what comes then came too late
	r.pod, r.absent, r.doubt = pod, false, false
	if late && pod.Annotations[AnnotationAsked] == "" && !ended(pod) {
		p.spawn(func() { p.endLateStart(pod) })
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
	if r == nil {
		return
	}
	if r.past == pod.UID {
		r.past = ""
		p.tidy(pod.Name, r)
		return
	}
	if r.pod == nil || r.pod.UID != pod.UID {
		return
	}
	if p.isOurs(pod) && newer(pod, r.pod) {
		r.pod = pod
	}
	r.absent = true
	if ended(r.pod) && p.stopped.has(pod.Name) { // forgotten; the watch has only now come to it
		p.forgotten(pod.Name, r)
		return
	}
	p.tell(r)
}

// tell posts what a replica is now; the provider is locked.
func (p *Provider) tell(r *replica) {
	s := p.status(r)
	switch {
	case !r.absent && undeleted(r.pod):
		p.finish(r)
	case s.State == activities.RunStarting:
		p.judge(r)
	default:
		r.rest()
		r.overdue = time.Time{}
	}
	p.board.Post(s)
}

// undeleted tells a Pod that was noted to go and has not been asked to: the second call failed, or the
// platform died in between.
func undeleted(pod *corev1.Pod) bool {
	return pod.Annotations[AnnotationAsked] != "" && pod.DeletionTimestamp == nil && !ended(pod)
}

// finish sets the time at which what was noted is done, unless that happens before; the provider is
// locked.
func (p *Provider) finish(r *replica) {
	id := r.pod.Name
	p.wait(r, retryEnd, func() { p.endNoted(id) })
}

// endNoted asks a Pod to go that was only noted to.
func (p *Provider) endNoted(id string) {
	r := p.take(id)
	defer p.leave(id, r)
	pod := p.known(r)
	if p.ctx.Err() != nil || pod == nil || !undeleted(pod) {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	if err := p.end(ctx, r, pod, pod.Annotations[AnnotationAsked], "", graceOf(pod)); err != nil {
		p.o.Logger.Warn("a Pod that is to go is not asked to yet", "replica", id, "err", err)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.finish(r)
	}
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

// Changed implements [activities.Announcer].
func (p *Provider) Changed() <-chan struct{} { return p.changed }

// announce says that the inventory is another one.
func (p *Provider) announce() {
	select {
	case p.changed <- struct{}{}:
	default: // said already, and not heard yet
	}
}

// otherChanged looks whether somebody else's Pod holds other GPUs than before.
func (p *Provider) otherChanged(before, now any) {
	holds := func(obj any) (string, int) {
		pod, ok := obj.(*corev1.Pod)
		if !ok || ended(pod) || pod.Spec.NodeName == "" {
			return "", 0
		}
		return pod.Spec.NodeName, gpusOf(pod)
	}
	wasOn, had := holds(before)
	on, has := holds(now)
	if had != has || wasOn != on && has > 0 {
		p.announce()
	}
}

// otherNode tells whether a node offers something else than before.
func otherNode(before, now *corev1.Node) bool {
	if before == nil || now == nil {
		return true
	}
	offers := func(n *corev1.Node) [2]corev1.ResourceList {
		return [2]corev1.ResourceList{n.Status.Capacity, n.Status.Allocatable}
	}
	return ready(before) != ready(now) || before.Spec.Unschedulable != now.Spec.Unschedulable ||
		!equality.Semantic.DeepEqual(before.Spec.Taints, now.Spec.Taints) || !equality.Semantic.DeepEqual(offers(before), offers(now))
}

// nodeChanged tells anew what is on a node that came into reach or left it.
func (p *Provider) nodeChanged(before, now *corev1.Node) {
	if otherNode(before, now) {
		p.announce()
	}
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

// verdict is when to give up on a replica whose Pod is now as it is there.
func (p *Provider) verdict(r *replica, pod *corev1.Pod) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	return verdictOn(pod, r.failing)
}

// judge sets the time at which a starting replica is given up; the provider is locked.
func (p *Provider) judge(r *replica) {
	switch cause, _ := waitingFor(r.pod); {
	case cause == "":
		r.failing = time.Time{}
	case r.failing.IsZero():
		r.failing = p.o.Now()
	}
	v, id := verdictOn(r.pod, r.failing), r.pod.Name
	p.wait(r, v.at.Sub(p.o.Now()), func() { p.endStart(id, v) })
}

// wait sets what is done about a replica after a time, instead of what was to be done before; the
// provider is locked.
func (p *Provider) wait(r *replica, after time.Duration, do func()) {
	r.rest()
	r.timer = p.later(after, do)
}

// rest ends the wait for a replica to run.
func (r *replica) rest() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

// endStart gives a replica up that still does not run. A watch may be late by a minute after the API
// server was away, so it is asked; and so may the kubelet's word be, so one of which no kubelet has said
// why it waits is looked at twice.
func (p *Provider) endStart(id string, v verdict) {
	r := p.take(id)
	defer p.leave(id, r)
	pod := p.known(r)
	if p.ctx.Err() != nil || pod == nil || !p.starting(pod) {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	now, err := p.o.Client.CoreV1().Pods(pod.Namespace).Get(ctx, id, metav1.GetOptions{})
	if err == nil {
		p.seen(now)
		if v = p.verdict(r, now); now.UID != pod.UID || !p.starting(now) || v.at.After(p.o.Now()) {
			p.judgeAgain(r) // it runs, or what it waits for is another thing by now, with a time of its own
			return
		}
		if p.mayBeHeardOf(r, v) {
			return
		}
		p.o.Logger.Warn("a replica is given up before it ran", "replica", id, "cause", v.cause, "message", v.message)
		err = p.end(ctx, r, now, v.cause, v.message, 0)
	}
	if err != nil {
		p.o.Logger.Warn("a replica that does not run is not given up yet", "replica", id, "err", err)
		p.mu.Lock()
		defer p.mu.Unlock()
		r.overdue = time.Time{} // nor could its kubelet say anything
		p.wait(r, retryEnd, func() { p.endStart(id, v) })
	}
}

// judgeAgain sets the time of the next look at one that still starts. That is for news to do, but for
// a wall clock that was set back there may be none.
func (p *Provider) judgeAgain(r *replica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.pod != nil && !r.absent && p.status(r).State == activities.RunStarting {
		p.judge(r)
	}
}

// mayBeHeardOf tells whether the kubelet of a Pod that is overdue still has time to say that it runs. If so, the Pod
// is looked at again after that.
func (p *Provider) mayBeHeardOf(r *replica, v verdict) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	if r.pod == nil || v.cause != events.CauseNeverReady || r.pod.Spec.NodeName == "" {
		return false
	}
	if r.overdue.IsZero() || r.overdue.After(now) {
		r.overdue = now
	}
	left := kubeletWord - now.Sub(r.overdue)
	if left <= 0 {
		return false
	}
	id := r.pod.Name
	p.wait(r, left, func() { p.endStart(id, v) })
	return true
}

func (p *Provider) starting(pod *corev1.Pod) bool {
	return stateOf(pod, p.lost(pod.Spec.NodeName)) == activities.RunStarting
}
