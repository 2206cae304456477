package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/board"
)

// Provider runs replicas as Pods. Whoever makes one closes it.
type Provider struct {
	o       Options
	board   board.Board
	factory informers.SharedInformerFactory
	pods    corelisters.PodLister
	nodes   corelisters.NodeLister
	stopped *stoppedIDs
	claim   *claim
	changed chan struct{} // holds one announcement
	began   time.Time

	ctx    context.Context //nolint:containedctx // 2026-11-27: of what the informers set off, which has no caller
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	replicas map[string]*replica
}

var (
	_ activities.Provider = (*Provider)(nil)
	_ activities.Renewer  = (*Provider)(nil)

	_ activities.Announcer = (*Provider)(nil)
)

// replica is one ID.
type replica struct {
	op     sync.Mutex // held while one of Start, Stop and Forget works on it
	secret types.UID  // the Pod whose Secret is known to be there; guarded by op

	// Guarded by the provider's mutex.
	users   int         // who has taken it and not left it
	pod     *corev1.Pod // the newest known; nil while there is none
	absent  bool        // the API server has it no more
	doubt   bool        // a Pod of it may be there that nobody has seen: its creation was not answered
	past    types.UID   // a Pod that was taken out of sight, and of which the watch may still tell
	endAt   time.Time   // when its end was seen
	failing time.Time   // since when it is seen to wait for what does not pass by itself; zero: it does not
	overdue time.Time   // when it was first seen to start too long
	timer   *time.Timer // of what is done if nothing happens: it is given up, or its end tried again
}

// New makes a provider once it knows the cluster: what runs there is adopted by that.
func New(ctx context.Context, o Options) (*Provider, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	p := &Provider{o: o, replicas: map[string]*replica{}, stopped: newStoppedIDs(o), claim: &claim{o: o}, changed: make(chan struct{}, 1), began: time.Now()}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := p.begin(ctx); err != nil {
		return nil, fmt.Errorf("look at the cluster: %w", errors.Join(err, p.Close()))
	}
	return p, nil
}

func (p *Provider) begin(ctx context.Context) error {
	claiming, cancel := context.WithTimeout(ctx, claimSilence+syncTimeout)
	defer cancel()
	if err := p.claim.take(claiming); err != nil {
		return err
	}
	p.wg.Go(func() { p.claim.run(p.ctx) }) // a first list of a large cluster takes longer than a claim lasts
	ctx, cancel = context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if err := p.stopped.load(ctx); err != nil {
		return err
	}
	p.factory = informers.NewSharedInformerFactory(p.o.Client, 0)
	pods, nodes := p.factory.Core().V1().Pods(), p.factory.Core().V1().Nodes()
	p.pods, p.nodes = pods.Lister(), nodes.Lister()
	told, err := p.listen(pods.Informer(), nodes.Informer())
	if err != nil {
		return err
	}
	p.factory.StartWithContext(p.ctx)
	if !cache.WaitForCacheSync(ctx.Done(), told...) {
		return fmt.Errorf("the API server has not listed nodes and Pods within %v: %w", syncTimeout, ctx.Err())
	}
	p.wg.Go(func() { p.stopped.run(p.ctx) })
	return nil
}

// listen registers what is done with news; the results tell whether everything that was there at
// first has been handled.
func (p *Provider) listen(pods, nodes cache.SharedIndexInformer) ([]cache.InformerSynced, error) {
	if err := pods.SetTransform(slim(p.o.Pool)); err != nil {
		return nil, err
	}
	if err := nodes.SetTransform(slimNode); err != nil {
		return nil, err
	}
	// Not filtered by label: a Pod that loses it would be told as deleted.
	ofPods, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if p.isOurs(obj) {
				p.seen(obj.(*corev1.Pod))
			}
		},
		UpdateFunc: p.changedPod,
		DeleteFunc: p.vanished,
	})
	if err != nil {
		return nil, err
	}
	_, err = pods.AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: func(obj any) bool { return !p.isOurs(obj) },
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { p.otherChanged(nil, obj) },
			UpdateFunc: p.otherChanged,
			DeleteFunc: func(obj any) { p.otherChanged(last(obj), nil) },
		},
	})
	if err != nil {
		return nil, err
	}
	ofNodes, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { p.nodeChanged(nil, obj.(*corev1.Node)) },
		UpdateFunc: func(old, obj any) { p.nodeChanged(old.(*corev1.Node), obj.(*corev1.Node)) },
		DeleteFunc: func(obj any) {
			if n, ok := last(obj).(*corev1.Node); ok {
				p.nodeChanged(n, nil)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return []cache.InformerSynced{ofNodes.HasSynced, ofPods.HasSynced}, nil
}

// last is the object of a deletion, also of one that was missed and found out later.
func last(obj any) any {
	if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return d.Obj
	}
	return obj
}

func (p *Provider) isOurs(obj any) bool {
	pod, ok := last(obj).(*corev1.Pod)
	return ok && pod.Labels[LabelPool] == p.o.Pool
}

// Close stops looking; what runs goes on.
func (p *Provider) Close() error {
	p.cancel()
	if p.factory != nil {
		p.factory.Shutdown()
	}
	p.mu.Lock()
	p.closed = true
	for _, r := range p.replicas {
		r.rest()
	}
	p.mu.Unlock()
	p.wg.Wait()
	p.claim.release()
	return nil
}

// spawn does something beside the caller, unless the provider is closed; it is locked.
func (p *Provider) spawn(do func()) {
	if !p.closed { // a WaitGroup that is waited for must not begin anew
		p.wg.Go(do)
	}
}

// later is a timer that spawns.
func (p *Provider) later(after time.Duration, do func()) *time.Timer {
	return time.AfterFunc(after, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.spawn(do)
	})
}

// Name implements [activities.Provider].
func (p *Provider) Name() string { return "kubernetes" }

// Inventory implements [activities.Provider]. It asks nobody: the informers know.
func (p *Provider) Inventory(context.Context) (activities.Inventory, error) {
	nodes, err := p.nodes.List(labels.Everything())
	if err != nil {
		return activities.Inventory{}, err
	}
	all, err := p.pods.List(labels.Everything())
	if err != nil {
		return activities.Inventory{}, err
	}
	f := fleet{nodes: nodes, ours: p.living()}
	f.other = slices.DeleteFunc(all, func(pod *corev1.Pod) bool { return p.isOurs(pod) })
	return f.inventory(p.o.tolerations()), nil
}

// living are our Pods that have not ended.
func (p *Provider) living() []*corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*corev1.Pod
	for _, r := range p.replicas {
		if r.pod != nil && !r.absent && !ended(r.pod) {
			out = append(out, r.pod)
		}
	}
	return out
}

// List implements [activities.Provider].
func (p *Provider) List(context.Context) ([]activities.ReplicaStatus, error) {
	return p.board.List(), nil
}

// Watch implements [activities.Provider].
func (p *Provider) Watch(ctx context.Context) (<-chan activities.ReplicaStatus, error) {
	return p.board.Watch(ctx), nil
}

// take begins an operation on an ID, the only one at a time; [Provider.leave] ends it.
func (p *Provider) take(id string) *replica {
	p.mu.Lock()
	r := p.replicas[id]
	if r == nil {
		r = &replica{}
		p.replicas[id] = r
	}
	r.users++
	p.mu.Unlock()
	r.op.Lock()
	return r
}

// leave ends it. An entry that stands for nothing and that nobody waits for is dropped.
func (p *Provider) leave(id string, r *replica) {
	r.op.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	r.users--
	p.tidy(id, r)
}

// tidy drops an entry that stands for nothing; the provider is locked.
func (p *Provider) tidy(id string, r *replica) {
	if r.users == 0 && r.pod == nil && r.past == "" && !r.doubt {
		delete(p.replicas, id)
	}
}

// known is the newest Pod of an entry.
func (p *Provider) known(r *replica) *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.absent {
		return nil
	}
	return r.pod
}

// isAbsent tells whether a replica has ended and its Pod with it.
func (p *Provider) isAbsent(r *replica) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.absent
}

// newer tells whether a Pod is news. What the platform wrote itself is known before the watch
// tells it, and the watch may still tell what was before, also of an earlier Pod of the same name:
// versions of one kind of object are ordered, whichever object they are of (KEP-5504).
func newer(p, than *corev1.Pod) bool {
	if than == nil {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(p.ResourceVersion, than.ResourceVersion)
	return err != nil || order > 0
}
