// Package board keeps the newest status of each replica of a provider and shows it to any
// number of readers. It is level-triggered: a reader that falls behind skips to the newest
// status of each replica and never sees an older one after a newer.
package board

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"stoker.dev/stoker/activities"
)

// Board is the newest status of each replica. The zero Board is ready to use; its methods are
// safe for concurrent use.
type Board struct {
	mu      sync.Mutex
	newest  map[string]posted
	version uint64
	readers map[*reader]struct{}
}

// posted is a status and when, in the order of posts, it came.
type posted struct {
	status  activities.ReplicaStatus
	version uint64
}

// Post makes s the newest status of its replica.
func (b *Board) Post(s activities.ReplicaStatus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.newest == nil {
		b.newest = map[string]posted{}
	}
	b.version++
	b.newest[s.ID] = posted{s, b.version}
	for r := range b.readers {
		r.add(s.ID)
	}
}

// Drop forgets a replica. Readers that have not seen its last status no longer will.
func (b *Board) Drop(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.newest, id)
}

// List is the newest status of every replica, by ID.
func (b *Board) List() []activities.ReplicaStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]activities.ReplicaStatus, 0, len(b.newest))
	for _, p := range b.newest {
		out = append(out, p.status)
	}
	slices.SortFunc(out, func(a, c activities.ReplicaStatus) int { return cmp.Compare(a.ID, c.ID) })
	return out
}

// Watch delivers the newest status of every replica, then each change, until ctx ends; then
// the channel is closed.
func (b *Board) Watch(ctx context.Context) <-chan activities.ReplicaStatus {
	r := &reader{wake: make(chan struct{}, 1), queued: map[string]bool{}}
	for _, s := range b.List() {
		r.add(s.ID)
	}
	b.mu.Lock()
	if b.readers == nil {
		b.readers = map[*reader]struct{}{}
	}
	b.readers[r] = struct{}{}
	for id := range b.newest { // posted between the list and now
		r.add(id)
	}
	b.mu.Unlock()
	out := make(chan activities.ReplicaStatus)
	go b.serve(ctx, r, out)
	return out
}

// serve sends what r has queued until ctx ends.
func (b *Board) serve(ctx context.Context, r *reader, out chan<- activities.ReplicaStatus) {
	defer close(out)
	defer b.leave(r)
	for {
		next, ok := b.peek(r)
		if !ok {
			select {
			case <-r.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case out <- next.status:
			b.sent(r, next)
		case <-r.wake: // look again: what waits to be sent may have a newer status by now
		case <-ctx.Done():
			return
		}
	}
}

// peek is the newest status of the replica that r waits for longest.
func (b *Board) peek(r *reader) (posted, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(r.queue) > 0 {
		id := r.queue[0]
		if p, ok := b.newest[id]; ok {
			return p, true
		}
		r.pop()
	}
	return posted{}, false
}

// sent takes a replica off r's queue, or to its end when a newer status came while sending.
func (b *Board) sent(r *reader, p posted) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := p.status.ID
	r.pop()
	if now, ok := b.newest[id]; ok && now.version != p.version {
		r.add(id)
	}
}

func (b *Board) leave(r *reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.readers, r)
}

// reader is one watcher: the replicas whose newest status it has not seen, oldest change
// first. It is guarded by the board's mutex.
type reader struct {
	queue  []string
	queued map[string]bool
	wake   chan struct{} // holds a token when the queue or a status in it changed
}

func (r *reader) add(id string) {
	if !r.queued[id] {
		r.queued[id] = true
		r.queue = append(r.queue, id)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reader) pop() {
	delete(r.queued, r.queue[0])
	r.queue = r.queue[1:]
}
