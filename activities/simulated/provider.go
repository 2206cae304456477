package simulated

import (
	"context"
	"fmt"
	"io"
	"time"

	"stoker.dev/stoker/activities"
)

// Provider looks at a world and acts on it. Several may share one.
type Provider struct{ w *World }

var _ activities.Provider = (*Provider)(nil)

// New returns a provider over a world; what runs there is adopted by that alone.
func New(w *World) *Provider { return &Provider{w} }

// Name implements [activities.Provider].
func (p *Provider) Name() string { return "simulated" }

// Inventory implements [activities.Provider].
func (p *Provider) Inventory(context.Context) (activities.Inventory, error) {
	return p.w.inventory(), nil
}

// Start implements [activities.Provider].
func (p *Provider) Start(_ context.Context, spec activities.ReplicaSpec) error {
	w := p.w
	if w.o.OnStart != nil {
		w.o.OnStart(spec)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.replicas[spec.ID]
	switch {
	case spec.ID == "":
		return fmt.Errorf("%w: the replica has no ID", activities.ErrBadSpec)
	case r != nil && r.stopped:
		return fmt.Errorf("%w: replica %s", activities.ErrStopped, spec.ID)
	case r != nil && spec.Lease.Epoch < r.status.Epoch:
		return fmt.Errorf("%w: replica %s: epoch %d, already seen %d", activities.ErrFenced, spec.ID, spec.Lease.Epoch, r.status.Epoch)
	case r != nil:
		if r.status.Epoch != spec.Lease.Epoch {
			r.status.Epoch = spec.Lease.Epoch
			w.post(r)
		}
		return nil
	case w.lost[spec.Lease.Node]:
		return fmt.Errorf("start replica %s: node %s is out of reach", spec.ID, spec.Lease.Node)
	}
	r = &replica{spec: spec, fate: w.o.Fate(spec, w.dice(spec.ID)), changed: make(chan struct{})}
	if r.fate.Refuse != nil {
		return fmt.Errorf("start replica %s: %w", spec.ID, r.fate.Refuse)
	}
	w.replicas[spec.ID] = r
	w.begin(r)
	return nil
}

// Stop implements [activities.Provider].
func (p *Provider) Stop(_ context.Context, id string, grace time.Duration) error {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.replicas[id]
	if r == nil {
		w.replicas[id] = &replica{stopped: true, changed: make(chan struct{})}
		return nil
	}
	r.stopped = true
	if r.alive() {
		w.ask(r, grace)
	}
	return nil
}

// List implements [activities.Provider].
func (p *Provider) List(context.Context) ([]activities.ReplicaStatus, error) {
	return p.w.board.List(), nil
}

// Watch implements [activities.Provider]. It begins with the newest status of every replica.
func (p *Provider) Watch(ctx context.Context) (<-chan activities.ReplicaStatus, error) {
	return p.w.board.Watch(ctx), nil
}

// Forget implements [activities.Provider]. The ID stays refused for as long as the world is.
func (p *Provider) Forget(_ context.Context, id string) error {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.replicas[id]
	if r == nil || !r.begun() {
		return nil
	}
	if s := w.seen(r).State; s != activities.RunGone {
		return fmt.Errorf("forget replica %s, which is %s: %w", id, s, activities.ErrStillRunning)
	}
	r.stopped, r.forgotten = true, true
	w.board.Drop(id)
	return nil
}

// Logs implements [activities.Provider].
func (p *Provider) Logs(ctx context.Context, id string, o activities.LogOptions) (io.ReadCloser, error) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.replicas[id]
	if r == nil || !r.begun() || !o.Allow(r.spec.Key) {
		return nil, fmt.Errorf("%w: %s", activities.ErrNoReplica, id)
	}
	l := &logReader{ctx: ctx, w: w, r: r, follow: o.Follow}
	if o.Tail > 0 {
		l.line = max(0, r.written-o.Tail)
	}
	return l, nil
}

// logReader reads a replica's output line by line.
type logReader struct {
	ctx    context.Context //nolint:containedctx // 2026-11-23: a reader has no other way to end with its caller
	w      *World
	r      *replica
	follow bool
	line   int
	rest   []byte
}

// Read implements [io.Reader].
func (l *logReader) Read(p []byte) (int, error) {
	for {
		if len(l.rest) > 0 {
			n := copy(p, l.rest)
			l.rest = l.rest[n:]
			return n, nil
		}
		more, end := l.next()
		if more {
			continue
		}
		if end == nil {
			return 0, io.EOF
		}
		select {
		case <-end:
		case <-l.ctx.Done():
			return 0, l.ctx.Err()
		}
	}
}

// next takes the next line; without one it returns what to wait for, nil at the end.
func (l *logReader) next() (bool, <-chan struct{}) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.line < l.r.written {
		l.rest = []byte(l.r.fate.Output[l.line] + "\n")
		l.line++
		return true, nil
	}
	if !l.follow || !l.r.alive() {
		return false, nil
	}
	return false, l.r.changed
}

// Close implements [io.Closer].
func (l *logReader) Close() error { return nil }
