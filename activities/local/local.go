package local

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/board"
)

// Local is the provider. Its methods are safe for concurrent use.
type Local struct {
	o     Options
	log   *slog.Logger
	procs processes
	boot  string
	board board.Board

	mu       sync.Mutex
	replicas map[string]*replica
	cgroups  *cgroups          // nil: not used here
	gpus     map[string]string // UUID → why it is not used, as last seen

	ctx   context.Context //nolint:containedctx // 2026-11-23: ends with Close, as what watches the replicas does
	close context.CancelFunc
	wg    sync.WaitGroup
}

var _ activities.Provider = (*Local)(nil)

// replica is one ID. Its mutex puts starts, stops and the end of that ID in an order; it is
// taken before the provider's.
type replica struct {
	mu      sync.Mutex
	dir     string
	rec     record
	handle  *handle // of the agent's process, while it is watched
	dropped bool    // no longer in the map: look the ID up again

	struck []member // by the last kill at the end of its grace; the watcher's own
}

// New opens the directory and adopts every replica that still lives. What died in the meantime
// is reported as gone once nothing of its tree is left.
func New(o Options) (*Local, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, explain(o.Dir, err)
	}
	procs, boot, err := openProcesses()
	if err != nil {
		return nil, err
	}
	l := &Local{o: o, log: o.Logger, procs: procs, boot: boot, replicas: map[string]*replica{}}
	l.ctx, l.close = context.WithCancel(context.Background())
	if !o.NoCgroup {
		l.cgroups = findCgroups(o.Logger)
	}
	if err := l.adoptAll(); err != nil {
		return nil, fmt.Errorf("local provider: %w", joinClose(err, l))
	}
	l.prune()
	return l, nil
}

// Close stops watching. The replicas live on and are adopted by the next [New].
func (l *Local) Close() error {
	l.mu.Lock()
	l.close() // within the lock: no replica begins from here on
	all := make([]*replica, 0, len(l.replicas))
	for _, r := range l.replicas {
		all = append(all, r)
	}
	l.mu.Unlock()
	for _, r := range all {
		r.mu.Lock()
		if r.handle != nil {
			r.handle.close()
		}
		r.mu.Unlock()
	}
	l.wg.Wait()
	return nil
}

// Name implements [activities.Provider].
func (l *Local) Name() string { return "local" }

// List implements [activities.Provider].
func (l *Local) List(context.Context) ([]activities.ReplicaStatus, error) { return l.board.List(), nil }

// Watch implements [activities.Provider]. It begins with the newest status of every replica.
func (l *Local) Watch(ctx context.Context) (<-chan activities.ReplicaStatus, error) {
	return l.board.Watch(ctx), nil
}

// replicaID is what an ID may be: it names a directory and a cgroup.
var replicaID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// take returns the replica of an ID, locked; it is made if it is new and wanted.
func (l *Local) take(id string, make bool) (*replica, error) {
	if !replicaID.MatchString(id) {
		return nil, fmt.Errorf("%w: replica ID %q, want %s", activities.ErrBadSpec, id, replicaID)
	}
	for {
		l.mu.Lock()
		if l.ctx.Err() != nil {
			l.mu.Unlock()
			return nil, ErrClosed
		}
		r := l.replicas[id]
		if r == nil && make {
			r = &replica{dir: filepath.Join(l.o.Dir, id), rec: record{ID: id, Node: l.o.Node}}
			l.replicas[id] = r
		}
		l.mu.Unlock()
		if r == nil {
			return nil, fmt.Errorf("%w: %s", activities.ErrNoReplica, id)
		}
		r.mu.Lock()
		if !r.dropped {
			return r, nil
		}
		r.mu.Unlock()
	}
}

// drop takes a locked replica out of the map.
func (l *Local) drop(r *replica) {
	r.dropped = true
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.replicas, r.rec.ID)
}

// post tells the readers where a locked replica is.
func (l *Local) post(r *replica) { l.board.Post(r.rec.status()) }

// ids lists the known replicas, sorted.
func (l *Local) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.replicas))
}
