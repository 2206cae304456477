package kubetest

import (
	"context"
	"errors"
	"sync"
	"time"
)

// minimumGrace is what a container has to end between SIGTERM and SIGKILL, even if hooks have used all the time. It is
// the kubelet's own constant.
const minimumGrace = 2 * time.Second

// errNoGrace ends the wait for a Pod that was asked to end.
var errNoGrace = errors.New("the grace is over")

// down ends the Pod as the kubelet does: all preStop hooks at once; then SIGTERM for the main containers; for the
// sidecars when those have ended, the last one first; SIGKILL when the grace is over.
func (p *podRun) down(ctx context.Context) {
	grace, cancel := p.withGrace(ctx)
	defer cancel()
	var ending sync.WaitGroup
	after := append([]*container{}, p.mains...)
	for _, c := range p.mains {
		ending.Go(func() { c.end(grace, nil) })
	}
	for i := len(p.inits) - 1; i >= 0; i-- {
		c, first := p.inits[i], after
		ending.Go(func() { c.end(grace, first) })
		after = append(append([]*container{}, after...), c)
	}
	ending.Wait()
}

// withGrace is a context for the Pod's end. A second deletion may make it shorter, and so may its removal.
func (p *podRun) withGrace(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	began := time.Now()
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			_, _, changed := p.seen()
			timer := time.NewTimer(time.Until(began.Add(p.grace())))
			select {
			case <-timer.C:
				cancel(errNoGrace)
				return
			case <-changed:
				timer.Stop()
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
	})
	return ctx, func() { cancel(nil); watching.Wait() }
}

// end runs the container's hook, waits until first have ended, and ends it. It returns when nothing of it runs.
func (c *container) end(grace context.Context, first []*container) {
	c.close()
	if i := c.running(); i != nil && c.spec.Lifecycle != nil && c.spec.Lifecycle.PreStop != nil {
		c.preStop(grace, i)
	}
	for _, other := range first {
		select {
		case <-other.over:
		case <-grace.Done():
		}
	}
	c.stop(grace)
	if c.supervised {
		<-c.over // nothing runs and nothing is started again, so this takes no time
		return
	}
	close(c.over)
}

// preStop runs the container's hook until it has ended, or the container has.
func (c *container) preStop(grace context.Context, i *instance) {
	ctx, cancel := context.WithCancel(grace)
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-i.ended:
		case <-ctx.Done():
		}
	}()
	if err := c.handle(ctx, c.spec.Lifecycle.PreStop); err != nil {
		c.note("FailedPreStopHook: " + err.Error())
	}
}

// stop ends the current instance: SIGTERM, and SIGKILL when the grace is over, but not before [minimumGrace].
func (c *container) stop(grace context.Context) {
	if i := c.running(); i != nil {
		c.stopInstance(grace, i)
	}
}

func (c *container) stopInstance(grace context.Context, i *instance) {
	i.terminate()
	least := time.NewTimer(minimumGrace)
	defer least.Stop()
	select {
	case <-i.ended:
		return
	case <-least.C:
	}
	select {
	case <-i.ended:
	case <-grace.Done():
		i.kill()
		<-i.ended // the kernel does not refuse SIGKILL
	}
}
