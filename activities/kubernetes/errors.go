package kubernetes

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"stoker.dev/stoker/activities"
)

// ErrClosed is returned by a provider that was closed.
var ErrClosed = errors.New("the Kubernetes provider is closed")

// refused sorts the API server's refusals of a start: what can never work, what has no room now,
// and what may work next time.
func refused(r activities.ReplicaSpec, err error) error {
	what := fmt.Sprintf("create Pod %s/%s", r.Key.Namespace, r.ID)
	switch {
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		return fmt.Errorf("%w: %s: %w", activities.ErrNoRoom, what, err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return fmt.Errorf("%w: %s: %w", activities.ErrNoRoom, what, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w; `kubectl auth can-i create pods -n %s` says whether the platform may", what, err, r.Key.Namespace)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %s: %w; a function runs in the Kubernetes namespace of its own name: kubectl create namespace %s",
			activities.ErrBadSpec, what, err, r.Key.Namespace)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return fmt.Errorf("%w: %s: %w", activities.ErrBadSpec, what, err)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}
