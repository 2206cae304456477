package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"golang.org/x/sync/errgroup"
)

// renewAtOnce is how many tokens are renewed at the same time: two calls each, so that a thousand
// take seconds, and starts still find room in the client's limits.
const renewAtOnce = 16

// RenewTokens implements [activities.Renewer]. The kubelet puts the new token before the agent
// within a minute or two. A token that cannot be renewed is no reason to leave out the others.
func (p *Provider) RenewTokens(renew func(token string) (string, error)) error {
	if err := p.mayAct(); err != nil {
		return err
	}
	living := p.living()
	errs := make([]error, len(living))
	var group errgroup.Group
	group.SetLimit(renewAtOnce)
	for i, pod := range living {
		group.Go(func() error {
			if err := p.renewToken(pod, renew); err != nil {
				errs[i] = fmt.Errorf("token of replica %s: %w", pod.Name, err)
			}
			return nil
		})
	}
	_ = group.Wait() // nothing above fails as a whole
	return errors.Join(errs...)
}

func (p *Provider) renewToken(pod *corev1.Pod, renew func(string) (string, error)) error {
	ctx, cancel := context.WithTimeout(p.ctx, callTimeout)
	defer cancel()
	secrets := p.o.Client.CoreV1().Secrets(pod.Namespace)
	s, err := secrets.Get(ctx, pod.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // its start is under way, or it went meanwhile
	}
	if err != nil {
		return err
	}
	if len(s.Data[tokenKey]) == 0 {
		return nil // its broker is one elsewhere, with credentials of its own
	}
	token, err := renew(string(s.Data[tokenKey]))
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"data": map[string][]byte{tokenKey: []byte(token)}})
	if err != nil {
		return err
	}
	_, err = secrets.Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
