package kubernetes

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"stoker.dev/stoker/activities"
)

// Stop implements [activities.Provider].
func (p *Provider) Stop(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r := p.take(id)
	defer p.leave(id, r)
	if err := p.findUnseen(ctx, r, id); err != nil {
		return err
	}
	pod := p.known(r)
	if pod == nil || ended(pod) {
		return p.stopped.add(ctx, id)
	}
	how := AskedDrain
	if grace <= 0 {
		how = AskedKill
	}
	err := p.end(ctx, r, pod, how, "", grace)
	if apierrors.IsNotFound(err) { // the watch will tell; until then it may be nobody's
		return p.stopped.add(ctx, id)
	}
	return err
}

// lateCall is how long a call of an earlier platform may still make a Pod, and the watch take to tell of it: an
// API server is at a call for a minute at most, and a watch may be late by another.
const lateCall = 2 * time.Minute

// mayBeUnseen tells whether there may be a Pod that nobody here has seen: the call that made it was not answered,
// or was an earlier platform's. Of any other it is known that there is none, and a large gang of which nothing was
// started must not cost a look at all Pods for each rank.
func (p *Provider) mayBeUnseen(r *replica) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.pod == nil && (r.doubt || time.Since(p.began) < lateCall)
}

// findUnseen asks for such a Pod. What it says is gone must not hold GPUs.
func (p *Provider) findUnseen(ctx context.Context, r *replica, id string) error {
	if !p.mayBeUnseen(r) || p.stopped.has(id) {
		return nil
	}
	pods, err := p.o.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		LabelSelector: LabelPool + "=" + p.o.Pool, FieldSelector: "metadata.name=" + id,
	})
	if err != nil {
		return fmt.Errorf("look for Pod %s, which nobody here has seen: %w", id, err)
	}
	p.setDoubt(r, false)
	for i := range pods.Items {
		p.seen(&pods.Items[i])
	}
	return nil
}

// end notes on a Pod why it is to go, and asks it to. A note that is there already stays, since the
// first cause is the cause, but for one that becomes more urgent.
func (p *Provider) end(ctx context.Context, r *replica, pod *corev1.Pod, cause, message string, grace time.Duration) error {
	if err := p.claim.err(); err != nil {
		return err
	}
	if was := pod.Annotations[AnnotationAsked]; was == "" || was == AskedDrain && cause == AskedKill {
		note := map[string]string{AnnotationAsked: cause}
		if cause == AskedDrain {
			note[AnnotationGrace] = grace.String()
		}
		if message != "" {
			note[AnnotationWhy] = message
		}
		if err := p.annotate(ctx, pod, note); err != nil {
			return fmt.Errorf("note that replica %s is to go: %w", pod.Name, err)
		}
	}
	if now := p.known(r); now != nil && ended(now) {
		return nil
	}
	if isRank(pod) && grace > 0 {
		grace += rankWord
	}
	// With several graces the API server lets the shortest one win.
	err := p.o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(seconds(grace)), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// graceOf is what a Pod that was noted to go has from its being asked. One without a note of it was noted by
// somebody else, and has all that its manifest gives it.
func graceOf(pod *corev1.Pod) time.Duration {
	if pod.Annotations[AnnotationAsked] != AskedDrain {
		return 0
	}
	if noted, err := time.ParseDuration(pod.Annotations[AnnotationGrace]); err == nil && noted > 0 {
		return noted
	}
	var grace time.Duration
	if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	if isRank(pod) {
		grace -= rankWord
	}
	return grace
}

// Forget implements [activities.Provider]: the ID is forbidden, then the Pod may go.
func (p *Provider) Forget(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r := p.take(id)
	defer p.leave(id, r)
	p.mu.Lock()
	pod, absent := r.pod, r.absent
	state := activities.RunGone
	if pod != nil {
		state = p.status(r).State
	}
	p.mu.Unlock()
	switch {
	case pod == nil:
		return nil
	case state != activities.RunGone:
		return fmt.Errorf("forget replica %s, which is %s: %w", id, state, activities.ErrStillRunning)
	case p.claim.err() != nil:
		return p.claim.err()
	}
	if err := p.stopped.add(ctx, id); err != nil {
		return err
	}
	if !absent {
		if err := p.remove(ctx, pod); err != nil {
			return fmt.Errorf("forget replica %s: %w", id, err)
		}
	}
	p.drop(id)
	return nil
}

// drop takes a replica out of sight.
func (p *Provider) drop(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.replicas[id]; r != nil {
		p.forgotten(id, r)
	}
}

// forgotten takes a replica out of sight; the provider is locked.
func (p *Provider) forgotten(id string, r *replica) {
	r.rest()
	if r.pod != nil && !r.absent {
		r.past = r.pod.UID
	}
	r.pod, r.absent, r.failing, r.overdue, r.endAt = nil, false, time.Time{}, time.Time{}, time.Time{}
	p.tidy(id, r)
	p.board.Drop(id)
}

// remove takes a Pod of which nothing runs from the API server: asked to go first, so that it goes
// with its last finalizer.
func (p *Provider) remove(ctx context.Context, pod *corev1.Pod) error {
	pods := p.o.Client.CoreV1().Pods(pod.Namespace)
	if pod.DeletionTimestamp == nil {
		err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
		})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return release(ctx, p.o.Client, pod)
}

// release takes our finalizer off a Pod. A strategic merge names the one, so that nothing conflicts with
// those of others.
func release(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) error {
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"$deleteFromPrimitiveList/finalizers":[%q]}}`, pod.UID, Finalizer)
	_, err := client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
