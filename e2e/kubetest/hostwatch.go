package kubetest

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// watch follows the Pods that are bound to the node until the context ends.
func (n *HostNode) watch(ctx context.Context) {
	bound := fields.OneTermEqualSelector("spec.nodeName", n.Name).String()
	factory := informers.NewSharedInformerFactoryWithOptions(n.cluster.client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = bound }))
	informer := factory.Core().V1().Pods().Informer()
	observe := func(object any) {
		if pod, ok := object.(*corev1.Pod); ok && ctx.Err() == nil {
			n.observe(pod)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    observe,
		UpdateFunc: func(_, object any) { observe(object) },
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			if pod, ok := object.(*corev1.Pod); ok && ctx.Err() == nil {
				n.forget(pod.UID)
			}
		},
	})
	if err != nil {
		return // only an informer that has ended refuses a handler
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		n.forgetMissing(informer.GetStore())
	}
	<-ctx.Done()
}

// observe begins a Pod's run, or tells it what changed.
func (n *HostNode) observe(pod *corev1.Pod) {
	n.mu.Lock()
	run := n.pods[pod.UID]
	if run == nil && !ended(pod) {
		run = newPodRun(n, pod)
		n.pods[pod.UID] = run
		n.running.Go(func() { run.live(n.life) })
	}
	n.mu.Unlock()
	if run != nil {
		run.update(pod)
	}
}

// ended tells whether there is nothing to run of a Pod: it was there before the node, or is of an earlier life.
func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// forget ends a Pod whose object is gone: somebody deleted it by force.
func (n *HostNode) forget(uid types.UID) {
	n.mu.Lock()
	run := n.pods[uid]
	n.mu.Unlock()
	if run != nil {
		run.remove()
	}
}

// forgetMissing ends the Pods whose objects went while the node was lost.
func (n *HostNode) forgetMissing(store cache.Store) {
	there := map[types.UID]bool{}
	for _, object := range store.List() {
		if pod, ok := object.(*corev1.Pod); ok {
			there[pod.UID] = true
		}
	}
	n.mu.Lock()
	var missing []*podRun
	for uid, run := range n.pods {
		if !there[uid] {
			missing = append(missing, run)
		}
	}
	n.mu.Unlock()
	for _, run := range missing {
		run.remove()
	}
}

// retryEvery is the pause before something is tried again that the API server refused or a missing object held up.
const retryEvery = 100 * time.Millisecond

// pause waits a moment, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
