package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/activities"
)

// Start implements [activities.Provider]: the Pod, then the Secret its agent waits for.
func (p *Provider) Start(ctx context.Context, spec activities.ReplicaSpec) error {
	if err := p.o.checkSpec(spec); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r := p.take(spec.ID)
	defer p.leave(spec.ID, r)
	err := p.start(ctx, r, spec)
	if nothingStarted(err) && p.mayBeThere(ctx, r, spec) {
		return fmt.Errorf("its Pod %s/%s is or may be there already, and keeps its GPUs: %s", spec.Key.Namespace, spec.ID, err.Error())
	}
	return err
}

func (p *Provider) start(ctx context.Context, r *replica, spec activities.ReplicaSpec) error {
	if err := p.mayAct(); err != nil {
		return err
	}
	if p.stopped.has(spec.ID) {
		return fmt.Errorf("%w: replica %s", activities.ErrStopped, spec.ID)
	}
	if p.isAbsent(r) {
		return nil // it has ended; whoever asks finds out
	}
	pod := p.known(r)
	if pod == nil {
		there, err := p.create(ctx, r, spec)
		if err != nil || there == nil {
			return err
		}
		pod = there
	}
	return p.startAgain(ctx, r, pod, spec)
}

// nothingStarted tells a failure on which the caller gives the replica's GPUs to others.
func nothingStarted(err error) bool {
	return errors.Is(err, activities.ErrNotNow) || errors.Is(err, activities.ErrBadSpec)
}

// mayBeThere tells whether there is, or may be, a Pod of a replica whose start failed. Where an earlier
// call was not answered, only the API server knows.
func (p *Provider) mayBeThere(ctx context.Context, r *replica, spec activities.ReplicaSpec) bool {
	p.mu.Lock()
	pod, doubt := r.pod, r.doubt
	p.mu.Unlock()
	if pod != nil || !doubt {
		return pod != nil
	}
	pod, err := p.o.Client.CoreV1().Pods(spec.Key.Namespace).Get(ctx, spec.ID, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		p.setDoubt(r, false)
		return false
	}
	if err == nil && p.isOurs(pod) {
		p.seen(pod)
	}
	return true
}

// setDoubt notes whether there may be a Pod that nobody has seen.
func (p *Provider) setDoubt(r *replica, doubt bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.doubt = doubt
}

// mayAct tells whether what is in the cluster is still this provider's to change.
func (p *Provider) mayAct() error {
	if p.ctx.Err() != nil {
		return ErrClosed
	}
	return p.claim.err()
}

// create makes Pod and Secret. Without the Secret the Pod's containers wait, so the Pod stays, and the next
// start of the ID goes on from there. A Pod that is there already, though nobody here has seen it, is returned
// instead: a call that was thought lost made it, or another platform.
func (p *Provider) create(ctx context.Context, r *replica, spec activities.ReplicaSpec) (*corev1.Pod, error) {
	pods := p.o.Client.CoreV1().Pods(spec.Key.Namespace)
	pod, err := pods.Create(ctx, p.o.pod(spec, p.o.Now()), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		pod, err = pods.Get(ctx, spec.ID, metav1.GetOptions{})
		if err == nil && pod.Labels[LabelPool] != p.o.Pool {
			return nil, fmt.Errorf("%w: Pod %s/%s is somebody else's", activities.ErrBadSpec, spec.Key.Namespace, spec.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("look at Pod %s/%s, which is there: %w", spec.Key.Namespace, spec.ID, err)
		}
		p.seen(pod)
		return pod, nil
	}
	if err != nil {
		if unanswered(err) {
			p.setDoubt(r, true)
		}
		return nil, refused("Pod", spec, err)
	}
	if p.o.Created != nil {
		p.o.Created(spec)
	}
	p.seen(pod)
	return nil, p.createSecret(ctx, r, spec, pod)
}

func (p *Provider) createSecret(ctx context.Context, r *replica, spec activities.ReplicaSpec, pod *corev1.Pod) error {
	secret, err := p.o.secret(spec, pod)
	if err != nil {
		return err
	}
	secrets := p.o.Client.CoreV1().Secrets(pod.Namespace)
	_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		var owned bool
		if owned, err = p.clearSecret(ctx, pod); err == nil && !owned {
			_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
		}
	}
	if err != nil {
		return refused("Secret", spec, err)
	}
	r.secret = pod.UID
	return nil
}

// clearSecret removes a Secret that is in the way of a Pod's own, unless it is that: one of an earlier
// Pod of the same name, which the garbage collector has not come to and would take from under this one.
func (p *Provider) clearSecret(ctx context.Context, pod *corev1.Pod) (owned bool, err error) {
	secrets := p.o.Client.CoreV1().Secrets(pod.Namespace)
	there, err := secrets.Get(ctx, pod.Name, metav1.GetOptions{})
	if err == nil && !ownedBy(there, pod) {
		err = secrets.Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(there.UID))})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return false, err
	}
	return err == nil && ownedBy(there, pod), nil
}

func ownedBy(s *corev1.Secret, pod *corev1.Pod) bool {
	return slices.ContainsFunc(s.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == pod.UID })
}

// startAgain is a start of what is there.
func (p *Provider) startAgain(ctx context.Context, r *replica, pod *corev1.Pod, spec activities.ReplicaSpec) error {
	seen := epochOf(pod)
	switch {
	case stop(pod.Annotations[AnnotationAsked]) || pod.DeletionTimestamp != nil:
		return fmt.Errorf("%w: replica %s", activities.ErrStopped, spec.ID)
	case spec.Lease.Epoch < seen:
		return fmt.Errorf("%w: replica %s: epoch %d, already seen %d", activities.ErrFenced, spec.ID, spec.Lease.Epoch, seen)
	case ended(pod):
		return nil
	}
	if spec.Lease.Epoch > seen {
		epoch := map[string]string{AnnotationEpoch: strconv.FormatUint(spec.Lease.Epoch, 10)}
		if err := p.annotate(ctx, pod, epoch); err != nil {
			return fmt.Errorf("note the epoch of replica %s: %w", spec.ID, err)
		}
	}
	return p.ensureSecret(ctx, r, spec, pod)
}

// ensureSecret is for a Pod that another call made, which may have ended before its Secret. It looks first: a
// quota that is full refuses to create even what is there.
func (p *Provider) ensureSecret(ctx context.Context, r *replica, spec activities.ReplicaSpec, pod *corev1.Pod) error {
	if r.secret == pod.UID {
		return nil
	}
	owned, err := p.clearSecret(ctx, pod)
	if err != nil {
		return fmt.Errorf("look for the Secret of replica %s: %w", spec.ID, err)
	}
	if owned {
		r.secret = pod.UID
		return nil
	}
	return p.createSecret(ctx, r, spec, pod)
}

// annotate writes annotations on a Pod and takes in what came of it.
func (p *Provider) annotate(ctx context.Context, pod *corev1.Pod, values map[string]string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "annotations": values}})
	if err != nil {
		return err
	}
	now, err := p.o.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err == nil {
		p.seen(now)
	}
	return err
}
