package kubernetes

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"stoker.dev/stoker/activities"
)

// ErrClosed is returned by a provider that was closed.
var ErrClosed = errors.New("the Kubernetes provider is closed")

// ErrPoolTaken is returned where another platform on the cluster has the pool.
var ErrPoolTaken = errors.New("the pool is another platform's")

// refused sorts the API server's refusals to create something for a replica: what can never work,
// what cannot now, and what may work next time. What is said first fits on the line of a screen.
func refused(kind string, r activities.ReplicaSpec, err error) error {
	what := fmt.Sprintf("create %s %s/%s", kind, r.Key.Namespace, r.ID)
	_, quota, exceeded := strings.Cut(err.Error(), "exceeded quota")
	switch {
	case neverSent(err):
		return fmt.Errorf("%w: the API server is away: %s: %w", activities.ErrNotNow, what, err)
	case apierrors.IsForbidden(err) && exceeded:
		return fmt.Errorf("%w: exceeded quota%s: %s", activities.ErrNotNow, quota, what)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return fmt.Errorf("%w: namespace %s is being deleted: %s: %w", activities.ErrNotNow, r.Key.Namespace, what, err)
	case apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "cannot create resource"): // an admission's no
		return fmt.Errorf("%w: %s: %w", activities.ErrNotNow, what, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: `kubectl auth can-i create %ss -n %s`: no: %w", activities.ErrNotNow, strings.ToLower(kind), r.Key.Namespace, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %s: %w; a function runs in the Kubernetes namespace of its own name: kubectl create namespace %s",
			activities.ErrBadSpec, what, err, r.Key.Namespace)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return fmt.Errorf("%w: %s: %w", activities.ErrBadSpec, what, err)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

// unanswered tells whether a request may have been carried out although it failed: it was sent, and
// what came back, if anything, was no refusal.
func unanswered(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Code >= http.StatusInternalServerError
	}
	return !neverSent(err)
}

// neverSent tells whether a request cannot have been taken, since no connection was made.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
