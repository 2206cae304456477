package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// IDs that must not start (any more) are kept in ConfigMaps, so that they outlive the platform.
const (
	// stoppedMaps spreads the IDs over so many objects: each write carries one of them.
	stoppedMaps = 16
	// forbidFor is how long an ended ID refuses a start. A start that comes late was asked for by
	// a workflow's activity, whose retries end within minutes.
	forbidFor = 24 * time.Hour
	// maxStopped bounds the IDs in one object, to some 25 kB; the oldest go first. Together they
	// are as many as the local provider keeps.
	maxStopped = 256
	// stoppedBatch is how many IDs may wait for a write.
	stoppedBatch = 1024
)

// stoppedIDs are the IDs that must not start. One goroutine writes, everything that waits at once:
// a hundred replicas that are forgotten together cost a write or two of each object.
type stoppedIDs struct {
	o      Options
	asks   chan stoppedAsk
	closed chan struct{}

	mu  sync.Mutex
	ids [stoppedMaps]map[string]time.Time // with when they were stopped
}

type stoppedAsk struct {
	id   string
	done chan<- error
}

func newStoppedIDs(o Options) *stoppedIDs {
	s := &stoppedIDs{o: o, asks: make(chan stoppedAsk, stoppedBatch), closed: make(chan struct{})}
	for n := range s.ids {
		s.ids[n] = map[string]time.Time{}
	}
	return s
}

// load reads what earlier platforms left.
func (s *stoppedIDs) load(ctx context.Context) error {
	list, err := s.o.Client.CoreV1().ConfigMaps(s.o.Namespace).List(ctx, metav1.ListOptions{LabelSelector: LabelPool + "=" + s.o.Pool})
	if err != nil {
		return fmt.Errorf("read stopped IDs in namespace %s: %w", s.o.Namespace, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range list.Items {
		for id, at := range parseStopped(m.Data) {
			s.ids[mapOf(id)][id] = at
		}
	}
	return nil
}

// has tells whether an ID must not start.
func (s *stoppedIDs) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, there := s.ids[mapOf(id)][id]
	return there && s.o.Now().Sub(at) < forbidFor
}

// add forbids an ID and returns once that is stored.
func (s *stoppedIDs) add(ctx context.Context, id string) error {
	if s.has(id) {
		return nil
	}
	done := make(chan error, 1)
	select {
	case s.asks <- stoppedAsk{id, done}:
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes until ctx ends.
func (s *stoppedIDs) run(ctx context.Context) {
	defer close(s.closed)
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-s.asks:
			s.write(ctx, s.drain(first))
		}
	}
}

// drain takes everything that waits, by object.
func (s *stoppedIDs) drain(first stoppedAsk) map[int][]stoppedAsk {
	out := map[int][]stoppedAsk{}
	for a, more := first, true; more; {
		n := mapOf(a.id)
		out[n] = append(out[n], a)
		select {
		case a = <-s.asks:
		default:
			more = false
		}
	}
	return out
}

// write stores the IDs of a batch, all objects at the same time.
func (s *stoppedIDs) write(ctx context.Context, batch map[int][]stoppedAsk) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for n, asks := range batch {
		wg.Go(func() {
			err := s.store(ctx, n, asks)
			for _, a := range asks {
				a.done <- err
			}
		})
	}
	wg.Wait()
}

// store adds to an object what it names alone, so that nothing it does can conflict with what others do.
func (s *stoppedIDs) store(ctx context.Context, n int, asks []stoppedAsk) error {
	s.mu.Lock()
	was := s.ids[n]
	next := maps.Clone(was)
	s.mu.Unlock()
	now := s.o.Now()
	for _, a := range asks {
		next[a.id] = now
	}
	next = newest(next, now)
	objects := s.o.Client.CoreV1().ConfigMaps(s.o.Namespace)
	name := fmt.Sprintf("stoker-%s-stopped-%d", s.o.Pool, n)
	patch, err := json.Marshal(map[string]any{"data": difference(was, next)})
	if err != nil {
		return err
	}
	_, err = objects.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		_, err = objects.Create(ctx, s.configMap(name, next), metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("store stopped IDs in ConfigMap %s/%s: %w", s.o.Namespace, name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[n] = next
	return nil
}

func (s *stoppedIDs) configMap(name string, ids map[string]time.Time) *corev1.ConfigMap {
	data := make(map[string]string, len(ids))
	for id, at := range ids {
		data[id] = stamp(at)
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.o.Namespace, Labels: map[string]string{LabelPool: s.o.Pool}},
		Data:       data,
	}
}

// mapOf is the object an ID belongs to.
func mapOf(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32() % stoppedMaps)
}

// newest are the IDs that are not old, no more than [maxStopped].
func newest(ids map[string]time.Time, now time.Time) map[string]time.Time {
	young := slices.DeleteFunc(slices.Collect(maps.Keys(ids)), func(id string) bool { return now.Sub(ids[id]) >= forbidFor })
	slices.SortFunc(young, func(a, b string) int { return ids[b].Compare(ids[a]) })
	out := map[string]time.Time{}
	for _, id := range young[:min(len(young), maxStopped)] {
		out[id] = ids[id]
	}
	return out
}

// difference is what makes one object's data of another's, as a merge patch has it: nil takes out.
func difference(was, next map[string]time.Time) map[string]*string {
	out := map[string]*string{}
	for id := range was {
		if _, there := next[id]; !there {
			out[id] = nil
		}
	}
	for id, at := range next {
		if before, there := was[id]; !there || !before.Equal(at) {
			out[id] = new(stamp(at))
		}
	}
	return out
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

func parseStopped(data map[string]string) map[string]time.Time {
	out := make(map[string]time.Time, len(data))
	for id, text := range data {
		if at, err := time.Parse(time.RFC3339, text); err == nil { // an edited one is nobody's
			out[id] = at
		}
	}
	return out
}
