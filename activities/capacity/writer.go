package capacity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale"
)

// Bounds of the writer.
const (
	// maxQueued operations wait; a caller beyond them waits to queue, with its own context.
	maxQueued = 4096
	// maxBatch operations go out in one write. Above some hundred a write is dominated by the
	// ledger's own size, and a caller's wait by the batch.
	maxBatch = 512
	// maxTries against faster writers. The chance to lose a fair race of eight this often is
	// below one in a billion, and it takes seconds.
	maxTries = 200
	// maxPause between two tries. It is short: who waits longer loses to who has just come.
	maxPause = 20 * time.Millisecond
	// writeTimeout bounds one read or write, beyond what the broker's client waits by itself.
	writeTimeout = 5 * time.Second
)

// Store keeps ledgers by pool. [events.Store] is one.
type Store interface {
	// Get returns [events.ErrNotFound] for a pool without a ledger.
	Get(ctx context.Context, pool string) (scale.Ledger, uint64, error)
	// Put writes if the pool is still at revision rev, 0 meaning that it has no ledger yet;
	// otherwise it returns [events.ErrConflict].
	Put(ctx context.Context, pool string, l scale.Ledger, rev uint64) (uint64, error)
}

// Writer is the one writer of a pool's ledger in this process. Its methods are safe for
// concurrent use.
type Writer struct {
	store   Store
	pool    string
	now     func() time.Time
	ops     chan *op
	ended   chan struct{}
	current atomic.Pointer[scale.Ledger]
	watcher atomic.Pointer[func(scale.Ledger, time.Time)]

	operations, written, conflicts atomic.Uint64

	// Used by the writing goroutine alone.
	ledger scale.Ledger
	rev    uint64
	known  bool // ledger and rev are what the store had last
}

// op is one operation on the ledger. apply may run several times; the last run counts.
type op struct {
	ctx   context.Context //nolint:containedctx // 2026-11-23: an operation whose caller has left is not begun
	apply func(l *scale.Ledger, now time.Time) error
	err   error
	done  chan error
}

// Open reads the ledger of a pool and writes for it until ctx ends. A pool without a ledger
// begins with an empty one.
func Open(ctx context.Context, store Store, pool string) (*Writer, error) {
	return OpenAt(ctx, store, pool, time.Now)
}

// OpenAt is [Open] with a clock. It should not jump: reservations run out by it.
func OpenAt(ctx context.Context, store Store, pool string, now func() time.Time) (*Writer, error) {
	w := &Writer{
		store: store, pool: pool, now: now,
		ops: make(chan *op, maxQueued), ended: make(chan struct{}),
	}
	if err := w.load(ctx); err != nil {
		return nil, err
	}
	go w.run(ctx)
	return w, nil
}

// Done is closed when the writer has ended and every operation was answered.
func (w *Writer) Done() <-chan struct{} { return w.ended }

// Stats count what the writer did since it was opened.
type Stats struct {
	Operations uint64 // asked for
	Writes     uint64 // that took; each carries the operations that waited for it
	Conflicts  uint64 // writes and reads that another writer came before; the batch was applied anew
}

// Stats counts; it takes no lock.
func (w *Writer) Stats() Stats {
	return Stats{Operations: w.operations.Load(), Writes: w.written.Load(), Conflicts: w.conflicts.Load()}
}

// Snapshot is the ledger as this writer last saw it. The caller may keep it, and change its
// copy through the ledger's methods.
func (w *Writer) Snapshot() scale.Ledger { return *w.current.Load() }

// Newest is the same, not to be changed, and another one once anything has changed.
func (w *Writer) Newest() *scale.Ledger { return w.current.Load() }

// Watch calls f with every ledger from now on, when it is written or read: in the order of the
// writes, and before whoever asked for the change is answered. f must be quick. There is one.
func (w *Writer) Watch(f func(l scale.Ledger, now time.Time)) { w.watcher.Store(&f) }

// do queues an operation and waits for its write.
func (w *Writer) do(ctx context.Context, apply func(l *scale.Ledger, now time.Time) error) error {
	w.operations.Add(1)
	o := &op{ctx: ctx, apply: apply, done: make(chan error, 1)}
	select {
	case w.ops <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.ended:
		return ErrClosed
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-w.ended:
		select { // answered in the same moment
		case err := <-o.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// run writes batch after batch until ctx ends.
func (w *Writer) run(ctx context.Context) {
	defer close(w.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.ops:
			batch := w.collect(first)
			err := w.commit(ctx, batch)
			for _, o := range batch {
				if err != nil {
					o.err = err
				}
				o.done <- o.err
			}
		}
	}
}

// collect adds what waits already.
func (w *Writer) collect(first *op) []*op {
	batch := []*op{first}
	for len(batch) < maxBatch {
		select {
		case o := <-w.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// commit applies a batch and writes the result, again where another writer was faster.
func (w *Writer) commit(ctx context.Context, batch []*op) error {
	for try := range maxTries {
		if !w.known {
			if err := w.load(ctx); err != nil {
				return err
			}
		}
		next, changed := w.applyAll(batch)
		written, err := w.swap(ctx, next, changed)
		if err != nil || written {
			return err
		}
		w.conflicts.Add(1)
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: pool %s, %d tries", ErrContended, w.pool, maxTries)
}

// applyAll runs the batch on a copy of the ledger, and tells whether that differs now.
func (w *Writer) applyAll(batch []*op) (next scale.Ledger, changed bool) {
	next, now := w.ledger.Edit(), w.now()
	for _, o := range batch {
		if o.err = o.ctx.Err(); o.err == nil {
			o.err = o.apply(&next, now)
		}
	}
	next.Forget(now) // every end leaves a tombstone, and the store bounds what a ledger may be
	changed = next.Seal()
	return next, changed || !reflect.DeepEqual(next.Devices, w.ledger.Devices) || !slices.Equal(next.Lost, w.ledger.Lost)
}

// swap writes next, and returns false when the batch must be applied anew to what the store
// has by now. A batch that changes nothing was still decided on the ledger: it counts only if
// that is the newest.
func (w *Writer) swap(ctx context.Context, next scale.Ledger, changed bool) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if !changed {
		rev := w.rev
		err := w.load(ctx)
		return w.rev == rev, err
	}
	rev, err := w.store.Put(ctx, w.pool, next, w.rev)
	if err != nil {
		w.known = false // a write whose answer was lost may have happened
		if errors.Is(err, events.ErrConflict) {
			return false, nil
		}
		return false, fmt.Errorf("write the ledger of pool %s: %w", w.pool, err)
	}
	w.written.Add(1)
	w.keep(next, rev)
	return true, nil
}

// load reads what the store has.
func (w *Writer) load(ctx context.Context) error {
	l, rev, err := w.store.Get(ctx, w.pool)
	if errors.Is(err, events.ErrNotFound) {
		l, rev, err = scale.Ledger{}, 0, nil
	}
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		w.known = false
		return fmt.Errorf("read the ledger of pool %s: %w", w.pool, err)
	}
	w.keep(l, rev)
	return nil
}

func (w *Writer) keep(l scale.Ledger, rev uint64) {
	w.ledger, w.rev, w.known = l, rev, true
	w.current.Store(&l)
	if f := w.watcher.Load(); f != nil {
		(*f)(l, w.now())
	}
}

// pause waits before the next try, longer each time, by chance, so that two writers do not
// meet again and again.
func pause(ctx context.Context, try int) error {
	limit := min(maxPause, time.Millisecond<<min(try, 10))
	t := time.NewTimer(rand.N(limit))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
