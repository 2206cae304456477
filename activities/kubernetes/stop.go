package kubernetes

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/activities"
)

// Stop implements [activities.Provider].
func (p *Provider) Stop(ctx context.Context, id string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r := p.take(id)
	defer p.leave(id, r)
	p.setDone(r)
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

// end notes on a Pod why it is to go, and asks it to. A note that is there already stays, since the
// first cause is the cause, but for one that becomes more urgent.
func (p *Provider) end(ctx context.Context, r *replica, pod *corev1.Pod, cause, message string, grace time.Duration) error {
	if err := p.claim.err(); err != nil {
		return err
	}
	if was := pod.Annotations[AnnotationAsked]; was == "" || was == AskedDrain && cause == AskedKill {
		note := map[string]string{AnnotationAsked: cause}
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
	// With several graces the API server lets the shortest one win.
	err := p.o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(seconds(grace)), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
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

// setDone ends what [Provider.setUndone] began, for a start that nobody will try again: its Pod ends
// as any other.
func (p *Provider) setDone(r *replica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.undone {
		r.undone = false
		p.tell(r)
	}
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
	r.pod, r.absent, r.undone = nil, false, false
	if r.users == 0 {
		delete(p.replicas, id)
	}
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
	// A strategic merge names the one finalizer, so that nothing conflicts with those of others.
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"$deleteFromPrimitiveList/finalizers":[%q]}}`, pod.UID, Finalizer)
	_, err := pods.Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
