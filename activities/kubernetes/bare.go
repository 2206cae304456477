package kubernetes

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stoker.dev/stoker/activities"
)

// Bare creates Pods by the same calls of the same client as a [Provider], and does nothing else:
// the floor that a start is compared with. Its Pods are those of replicas, but no finalizer keeps
// them, and no agent finds its Secret.
type Bare struct{ o Options }

// NewBare needs a pool of its own, so that no platform takes the Pods for replicas.
func NewBare(o Options) (*Bare, error) {
	o, err := o.complete()
	return &Bare{o}, err
}

// Create returns once the API server has confirmed the Pod.
func (b *Bare) Create(ctx context.Context, r activities.ReplicaSpec) error {
	pod := b.o.pod(r, b.o.Now())
	pod.Finalizers = nil
	if _, err := b.o.Client.CoreV1().Pods(r.Key.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return refused("Pod", r, err)
	}
	return nil
}

// Delete takes a Pod out of the API server at once.
func (b *Bare) Delete(ctx context.Context, r activities.ReplicaSpec) error {
	err := b.o.Client.CoreV1().Pods(r.Key.Namespace).Delete(ctx, r.ID, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
	if err != nil {
		return fmt.Errorf("delete Pod %s/%s: %w", r.Key.Namespace, r.ID, err)
	}
	return nil
}

// Purge removes what a pool has in a cluster: Pods, their Secrets with them, the IDs that must not
// start, and whose the pool is. Nobody may run it any more.
func Purge(ctx context.Context, o Options) error {
	ours := metav1.ListOptions{LabelSelector: LabelPool + "=" + o.Pool}
	pods, err := o.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, ours)
	if err != nil {
		return fmt.Errorf("list the Pods of pool %s: %w", o.Pool, err)
	}
	var errs []error
	for i := range pods.Items {
		pod := &pods.Items[i]
		err := release(ctx, o.Client, pod)
		if pod.DeletionTimestamp == nil && err == nil {
			err = o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		}
		if !apierrors.IsNotFound(err) { // it may be on its way already
			errs = append(errs, err)
		}
	}
	errs = append(errs, o.Client.CoreV1().ConfigMaps(o.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, ours))
	errs = append(errs, o.Client.CoordinationV1().Leases(o.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, ours))
	return errors.Join(errs...)
}
