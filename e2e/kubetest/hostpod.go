package kubetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podRun is one Pod on a host node, from being bound until nothing of it is left.
type podRun struct {
	node  *HostNode
	uid   types.UID
	dir   string
	inits []*container // in the Pod's order, native sidecars among them
	mains []*container
	dirty chan struct{} // a status is to be written
	conds conditions
	since metav1.Time // when the node took it

	mu      sync.Mutex
	pod     *corev1.Pod   // as last seen
	removed bool          // its object is gone
	changed chan struct{} // closed with the next change of these
	refused *refusal
	ports   map[int32]int
}

// refusal is why the node does not run the Pod at all.
type refusal struct{ reason, message string }

// errAsked ends what a Pod does when it is asked to go.
var errAsked = errors.New("the Pod is asked to go")

// errGone says that the Pod's object is gone, or is another one's by now.
var errGone = errors.New("the Pod's object is gone")

func newPodRun(n *HostNode, pod *corev1.Pod) *podRun {
	p := &podRun{
		node: n, uid: pod.UID, pod: pod, dir: filepath.Join(n.dir, string(pod.UID)),
		dirty: make(chan struct{}, 1), changed: make(chan struct{}), conds: conditions{}, since: metav1.Now(),
	}
	for i := range pod.Spec.InitContainers {
		p.inits = append(p.inits, newContainer(p, &pod.Spec.InitContainers[i], true))
	}
	for i := range pod.Spec.Containers {
		p.mains = append(p.mains, newContainer(p, &pod.Spec.Containers[i], false))
	}
	return p
}

func (p *podRun) containers() []*container {
	return append(append([]*container{}, p.inits...), p.mains...)
}

// update takes what the API server says now.
func (p *podRun) update(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pod = pod
	close(p.changed)
	p.changed = make(chan struct{})
}

// remove is an update for an object that is gone.
func (p *podRun) remove() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removed = true
	close(p.changed)
	p.changed = make(chan struct{})
}

// seen is the Pod as the API server had it last, whether it is gone, and what announces the next change.
func (p *podRun) seen() (pod *corev1.Pod, removed bool, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pod, p.removed, p.changed
}

// live is the Pod's whole life. It returns when nothing of it runs and the API server knows, or with the node.
func (p *podRun) live(ctx context.Context) {
	var helpers sync.WaitGroup
	down := make(chan struct{})
	helpers.Go(func() { p.report(ctx, down) })
	run, cancel := context.WithCancelCause(ctx)
	helpers.Go(func() { p.watchForAsk(run, cancel) })
	p.up(run)
	cancel(errAsked) // it ended by itself, and its sidecars go as if it were asked to
	p.down(ctx)
	p.node.gpus.release(p.uid)
	close(down)
	helpers.Wait()
	if ctx.Err() == nil && p.write(ctx, p.finalStatus) == nil {
		p.bury(ctx)
	}
}

// last is the Pod as the API server had it last.
func (p *podRun) last() *corev1.Pod { pod, _, _ := p.seen(); return pod }

// watchForAsk cancels the Pod's run once it is to go, and keeps its volumes of the downward API up to date till then.
func (p *podRun) watchForAsk(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		pod, removed, changed := p.seen()
		if removed || pod.DeletionTimestamp != nil {
			cancel(errAsked)
			return
		}
		for _, c := range p.containers() {
			c.refresh()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// up starts the containers in their order and returns when all main ones have ended or the context has.
func (p *podRun) up(ctx context.Context) {
	if err := p.admit(); err != nil {
		p.touch()
		return
	}
	for _, c := range p.inits {
		c.begins(ctx)
		if !c.awaitTurnOfNext(ctx) {
			return
		}
	}
	for _, c := range p.mains {
		c.begins(ctx)
	}
	for _, c := range p.mains {
		select {
		case <-c.over:
		case <-ctx.Done():
			return
		}
	}
}

// admit gives the Pod its directory, ports and GPUs, or refuses it as a kubelet would.
func (p *podRun) admit() error {
	refuse := func(reason string, err error) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.refused = &refusal{reason, err.Error()}
		return err
	}
	if err := unsupported(p.last()); err != nil {
		return refuse("KubetestUnsupported", err)
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return refuse("KubetestFailed", err)
	}
	ports := map[int32]int{}
	for _, declared := range declaredPorts(p.last()) {
		mine, err := p.node.port()
		if err != nil {
			return refuse("KubetestFailed", err)
		}
		ports[declared] = mine
	}
	p.mu.Lock()
	p.ports = ports
	p.mu.Unlock()
	for _, c := range p.containers() {
		ids, err := p.node.gpus.allocate(p.uid, c.spec)
		if err != nil {
			return refuse("UnexpectedAdmissionError", err)
		}
		c.gpus = ids
	}
	return nil
}

// unsupported says what a Pod wants that a host node does not have.
func unsupported(pod *corev1.Pod) error {
	for _, c := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		if c.Lifecycle != nil && c.Lifecycle.PostStart != nil {
			return fmt.Errorf("container %s has a postStart hook, which host nodes do not run", c.Name)
		}
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if probe != nil && probe.GRPC != nil {
				return fmt.Errorf("container %s has a gRPC probe, which host nodes do not know", c.Name)
			}
		}
	}
	return nil
}

// touch has the status written soon.
func (p *podRun) touch() {
	select {
	case p.dirty <- struct{}{}:
	default: // somebody has asked for it already
	}
}

// report writes the status when it has changed, until the Pod is down: then it is to be the final one, and a write
// that is under way is let through first.
func (p *podRun) report(ctx context.Context, down <-chan struct{}) {
	for {
		select {
		case <-p.dirty:
		case <-down:
			return
		case <-ctx.Done():
			return
		}
		if p.write(ctx, p.currentStatus) != nil {
			return // the context has ended, or there is no object to write to
		}
	}
}

// write tells the API server something until it is told. It is errGone if the object is gone.
func (p *podRun) write(ctx context.Context, tell func(context.Context) error) error {
	for {
		if err := p.node.reachable(ctx); err != nil {
			return err
		}
		err := tell(ctx)
		switch {
		case err == nil:
			return nil
		case apierrors.IsNotFound(err) || apierrors.IsConflict(err):
			return errGone
		case apierrors.IsInvalid(err):
			p.node.complain(fmt.Errorf("status of Pod %s: %w", p.last().Name, err))
			return err // it stays wrong
		}
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
	}
}

// bury deletes the object with a grace of 0 once it is to be deleted: the kubelet's word that nothing of it is left.
// Finalizers of others stay.
func (p *podRun) bury(ctx context.Context) {
	for {
		pod, removed, changed := p.seen()
		if removed || pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0 {
			return
		}
		if pod.DeletionTimestamp != nil {
			_ = p.write(ctx, p.deleteNow) // whatever is wrong, nobody else can say it better
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (p *podRun) deleteNow(ctx context.Context) error {
	pod := p.last()
	now := int64(0)
	return p.node.cluster.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
}

// killAll ends every process of the Pod at once.
func (p *podRun) killAll() {
	for _, c := range p.containers() {
		c.kill()
	}
}

func (p *podRun) logTails() string {
	var b strings.Builder
	for _, c := range p.containers() {
		lines := lastLines(c.logPath(), shownLines)
		fmt.Fprintf(&b, "--- %s/%s\n%s\n", p.last().Name, c.spec.Name, lines)
		if _, err := os.Stat(c.notePath()); err == nil {
			fmt.Fprintf(&b, "--- the node on %s/%s\n%s\n", p.last().Name, c.spec.Name, lastLines(c.notePath(), shownLines))
		}
	}
	return b.String()
}

// grace is how long the Pod's end may take from when it began: what whoever deleted it said, or its own.
func (p *podRun) grace() time.Duration {
	pod, removed, _ := p.seen()
	switch {
	case removed:
		return 0
	case pod.DeletionGracePeriodSeconds != nil:
		return time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		return time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}
