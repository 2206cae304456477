package kubernetes

import (
	"context"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"stoker.dev/stoker/activities"
)

// Logs implements [activities.Provider]: the model server's output, as the kubelet keeps it. With
// the Pod it goes; what a failed replica said last stays with its status.
func (p *Provider) Logs(ctx context.Context, id string, o activities.LogOptions) (io.ReadCloser, error) {
	p.mu.Lock()
	var pod *corev1.Pod
	if r := p.replicas[id]; r != nil && !r.absent {
		pod = r.pod
	}
	p.mu.Unlock()
	if pod == nil || !o.Allow(statusOf(pod, false).Key) {
		return nil, fmt.Errorf("%w: %s", activities.ErrNoReplica, id)
	}
	want := &corev1.PodLogOptions{Container: ModelContainer, Follow: o.Follow}
	if o.Tail > 0 {
		want.TailLines = new(int64(o.Tail))
	}
	r, err := p.o.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, want).Stream(ctx)
	if apierrors.IsBadRequest(err) { // its container waits: it has said nothing yet
		return io.NopCloser(strings.NewReader("")), nil
	}
	if err != nil {
		return nil, fmt.Errorf("logs of Pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return r, nil
}
