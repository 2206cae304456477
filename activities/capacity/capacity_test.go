package capacity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/scale"
)

const pool = "default"

// broker is a real key-value bucket of ledgers.
func broker(t testing.TB) Store {
	t.Helper()
	nc, _, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Ensure(t.Context(), events.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	store, err := events.OpenStore[scale.Ledger](t.Context(), bus, events.BucketLedger)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func devices(node string, n int) []scale.Device {
	var out []scale.Device
	for i := range n {
		out = append(out, scale.Device{ID: fmt.Sprintf("%s-gpu-%d", node, i), Node: node, Product: "H200", Memory: 141 << 30, Healthy: true})
	}
	return out
}

// opened is a writer that ends with the test, over a pool with one node of n GPUs.
func opened(t testing.TB, store Store, n int) *Writer {
	t.Helper()
	w, err := Open(t.Context(), store, pool)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SetDevices(t.Context(), "n0", devices("n0", n)); err != nil {
		t.Fatal(err)
	}
	return w
}

func ask(holder string) scale.Ask {
	return scale.Ask{Holder: holder, Owner: "function default/f", GPUs: 1}
}

// reserve claims one GPU for each holder and returns the leases of those that got one.
func reserve(t testing.TB, w *Writer, holders ...string) []scale.Lease {
	t.Helper()
	var asks []scale.Ask
	for _, h := range holders {
		asks = append(asks, ask(h))
	}
	claims, err := w.Reserve(t.Context(), asks, time.Minute)
	if err != nil {
		t.Error(err)
	}
	var out []scale.Lease
	for _, c := range claims {
		switch {
		case c.Err == nil:
			out = append(out, c.Lease)
		case !errors.Is(c.Err, scale.ErrNoCapacity):
			t.Error(c.Err)
		}
	}
	return out
}

// stored reads the ledger that is in the store and checks it.
func stored(t testing.TB, store Store) scale.Ledger {
	t.Helper()
	l, _, err := store.Get(t.Context(), pool)
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		t.Error(err)
	}
	return l
}

func TestALeaseFromReserveToRelease(t *testing.T) {
	store := broker(t)
	w := opened(t, store, 2)
	leases := reserve(t, w, "a", "b", "c")
	if len(leases) != 2 {
		t.Fatalf("%d leases on 2 GPUs", len(leases))
	}
	if again := reserve(t, w, "a"); len(again) != 1 || again[0].Epoch != leases[0].Epoch || again[0].Devices[0] != leases[0].Devices[0] {
		t.Errorf("reserved again: %+v, before %+v", again, leases[0])
	}
	steps := []struct {
		do   func() error
		want scale.Usage
	}{
		{func() error { return w.Bind(t.Context(), "a", leases[0].Epoch, w.now()) }, scale.Usage{Capacity: 2, Reserved: 1, Bound: 1}},
		{func() error { return w.MarkDraining(t.Context(), "a") }, scale.Usage{Capacity: 2, Reserved: 1, Draining: 1}},
		{func() error { return w.NodeLost(t.Context(), "n0") }, scale.Usage{Capacity: 2, Unknown: 2}},
		{func() error { return w.NodeFound(t.Context(), "n0") }, scale.Usage{Capacity: 2, Reserved: 1, Draining: 1}},
		{func() error { return w.Release(t.Context(), "a", "drained") }, scale.Usage{Capacity: 2, Reserved: 1, Free: 1}},
		{func() error { return w.Release(t.Context(), "a", "again") }, scale.Usage{Capacity: 2, Reserved: 1, Free: 1}},
		{func() error { return w.NodeLost(t.Context(), "n0") }, scale.Usage{Capacity: 2, Unknown: 1, Unusable: 1}},
		{func() error { _, err := w.Fence(t.Context(), "n0"); return err }, scale.Usage{Capacity: 2, Unusable: 2}},
	}
	for i, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got := stored(t, store).Usage(); got != s.want {
			t.Errorf("step %d: stored %+v, want %+v", i, got, s.want)
		}
		if got := w.Snapshot().Usage(); got != s.want {
			t.Errorf("step %d: snapshot %+v, want %+v", i, got, s.want)
		}
	}
	claims, err := w.Reserve(t.Context(), []scale.Ask{ask("a")}, time.Minute)
	if err != nil || !errors.Is(claims[0].Err, scale.ErrTombstone) {
		t.Errorf("a late reservation: %+v, %v", claims, err)
	}
	if err := w.Bind(t.Context(), "nobody", 1, w.now()); !errors.Is(err, scale.ErrUnknownHolder) {
		t.Errorf("bind without a lease: %v", err)
	}
}

// TestTwoWritersNeverExceedCapacity lets two writers fight for every GPU, over and over.
func TestTwoWritersNeverExceedCapacity(t *testing.T) {
	store := broker(t)
	const gpus, callers, rounds = 5, 8, 25
	opened(t, store, gpus)
	var mu sync.Mutex
	holds := map[string]string{} // device → holder, by what the callers were told
	var wg sync.WaitGroup
	for i := range callers {
		w, err := Open(t.Context(), store, pool) // each a writer of its own
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for r := range rounds {
				id := fmt.Sprintf("r-%d-%d", i, r)
				for _, lease := range reserve(t, w, id, id+"-b") {
					for _, d := range lease.Devices {
						mu.Lock()
						if other := holds[d]; other != "" {
							t.Errorf("%s was given to %s while %s has it", d, lease.Holder, other)
						}
						holds[d] = lease.Holder
						mu.Unlock()
					}
					if err := w.Bind(t.Context(), lease.Holder, lease.Epoch, w.now()); err != nil {
						t.Errorf("bind: %v", err)
					}
					mu.Lock()
					for _, d := range lease.Devices {
						delete(holds, d)
					}
					mu.Unlock()
					if err := w.Release(t.Context(), lease.Holder, "done"); err != nil {
						t.Errorf("release: %v", err)
					}
				}
				if u := stored(t, store).Usage(); u.Reserved+u.Bound > gpus {
					t.Errorf("%+v", u)
				}
			}
		})
	}
	wg.Wait()
	if u := stored(t, store).Usage(); u.Free != gpus {
		t.Errorf("at the end %+v", u)
	}
}

func TestAStaleWriterSeesWhatAnotherReleased(t *testing.T) {
	store := broker(t)
	stale, other := opened(t, store, 1), opened(t, store, 1)
	reserve(t, stale, "a")
	if err := other.Release(t.Context(), "a", "done"); err != nil {
		t.Fatal(err)
	}
	if got := reserve(t, stale, "b"); len(got) != 1 { // decided anew: what it knew said no
		t.Errorf("no GPU for b, and the only one is free: %+v", stored(t, store))
	}
	if st := stale.Stats(); st.Conflicts != 1 {
		t.Errorf("the other writer came before once: %+v", st)
	}
	if err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u := other.Snapshot().Usage(); u.Reserved != 1 {
		t.Errorf("after a refresh the other sees %+v", u)
	}
}

// TestAKillBetweenReserveAndBind is a platform that dies there and comes back late.
func TestAKillBetweenReserveAndBind(t *testing.T) {
	store := broker(t)
	ctx, cancel := context.WithCancel(t.Context())
	now := time.Now()
	w, err := OpenAt(ctx, store, pool, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	if err := w.SetDevices(t.Context(), "n0", devices("n0", 3)); err != nil {
		t.Fatal(err)
	}
	leases := reserve(t, w, "dead", "gone", "runs") // no more is heard of the first two
	cancel()
	<-w.Done()
	if err := w.Release(t.Context(), "runs", "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}

	later := now.Add(time.Hour)
	w, err = OpenAt(t.Context(), store, pool, func() time.Time { return later })
	if err != nil {
		t.Fatal(err)
	}
	drift, err := w.Adopt(t.Context(), []activities.ReplicaStatus{
		{ID: "gone", State: activities.RunGone, Epoch: leases[1].Epoch, Started: now.Add(time.Second)},
		{ID: "runs", State: activities.RunRunning, Epoch: leases[2].Epoch, Started: now.Add(time.Second)},
		{ID: "never-leased", State: activities.RunRunning, Epoch: 1, Started: now},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(drift.Unleased) != 1 || drift.Unleased[0] != "never-leased" || len(drift.Missing) != 0 || len(drift.Expired) != 2 {
		t.Errorf("drift %+v", drift)
	}
	if u := stored(t, store).Usage(); u.Bound != 1 || u.Free != 2 {
		t.Errorf("%+v", u)
	}
	if err := w.Bind(t.Context(), "dead", leases[0].Epoch, w.now()); !errors.Is(err, scale.ErrTombstone) {
		t.Errorf("a late start of what expired: %v", err)
	}
	if drift, err = w.Adopt(t.Context(), nil); err != nil || len(drift.Missing) != 1 || drift.Missing[0] != "runs" {
		t.Errorf("nothing runs: %+v, %v", drift, err)
	}
}

// cut is a store whose connection breaks: writes happen or not, their answers are lost.
type cut struct {
	Store
	mu      sync.Mutex
	every   int
	happens bool
	n       int
}

var errCut = errors.New("connection lost")

func (c *cut) Put(ctx context.Context, key string, l scale.Ledger, rev uint64) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.n%c.every != 0 {
		return c.Store.Put(ctx, key, l, rev)
	}
	if c.happens = !c.happens; c.happens {
		if _, err := c.Store.Put(ctx, key, l, rev); err != nil {
			return 0, err
		}
	}
	return 0, errCut
}

func TestLostAnswersLoseNothing(t *testing.T) {
	store := broker(t)
	const gpus = 4
	opened(t, store, gpus)
	w, err := Open(t.Context(), &cut{Store: store, every: 2}, pool)
	if err != nil {
		t.Fatal(err)
	}
	retry := func(do func() error) {
		t.Helper()
		for range 10 {
			if err := do(); !errors.Is(err, errCut) {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
		}
		t.Fatal("every try was cut")
	}
	for i := range 20 {
		id := fmt.Sprint("r", i)
		var lease scale.Lease
		retry(func() error {
			claims, err := w.Reserve(t.Context(), []scale.Ask{ask(id)}, time.Minute)
			if err == nil {
				lease, err = claims[0].Lease, claims[0].Err
			}
			return err
		})
		retry(func() error { return w.Bind(t.Context(), id, lease.Epoch, w.now()) })
		if u := stored(t, store).Usage(); u.Bound != 1 || u.Free != gpus-1 {
			t.Fatalf("round %d: %+v", i, u)
		}
		retry(func() error { return w.Release(t.Context(), id, "done") })
	}
}

// block keeps the writer busy until the channel is closed.
func block(t *testing.T, w *Writer) chan<- struct{} {
	t.Helper()
	hold, began := make(chan struct{}), make(chan struct{})
	go func() {
		_ = w.do(t.Context(), func(*scale.Ledger, time.Time) error { // ends with the test at the latest
			close(began)
			<-hold
			return nil
		})
	}()
	<-began
	return hold
}

func TestABurstTakesFewWrites(t *testing.T) {
	store := &counted{Store: broker(t)}
	const n = 200
	w := opened(t, store, n)
	before := store.puts()
	hold := block(t, w)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { reserve(t, w, fmt.Sprint("r", i)) })
	}
	within(t, func() bool { return len(w.ops) == n })
	close(hold)
	wg.Wait()
	if u := stored(t, store).Usage(); u.Reserved != n {
		t.Errorf("%+v", u)
	}
	if writes := store.puts() - before; writes > 4 {
		t.Errorf("%d operations took %d writes", n, writes)
	}
	// One operation put the devices in, one kept the writer busy and changed nothing.
	if st := w.Stats(); st.Operations != n+2 || int(st.Writes) != store.puts() || st.Conflicts != 0 {
		t.Errorf("counted %+v, and %d writes reached the store", st, store.puts())
	}
}

// TestTombstonesDoNotPileUp ends far more leases than the store could hold.
func TestTombstonesDoNotPileUp(t *testing.T) {
	store := broker(t)
	w := opened(t, store, 1)
	const batch, rounds = 500, 12
	for r := range rounds {
		hold := block(t, w)
		var wg sync.WaitGroup
		for i := range batch {
			wg.Go(func() {
				if err := w.Release(t.Context(), fmt.Sprintf("r-%d-%d", r, i), "done"); err != nil {
					t.Error(err)
				}
			})
		}
		within(t, func() bool { return len(w.ops) == batch })
		close(hold)
		wg.Wait()
	}
	if n := len(stored(t, store).Leases); n < batch || n > scale.MaxTombstones {
		t.Errorf("%d tombstones of %d ends", n, batch*rounds)
	}
}

func TestACallerThatLeftIsNotServed(t *testing.T) {
	store := broker(t)
	w := opened(t, store, 1)
	hold := block(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := w.Reserve(ctx, []scale.Ask{ask("left")}, time.Minute)
		answered <- err
	}()
	within(t, func() bool { return len(w.ops) == 1 })
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
	close(hold)
	if got := reserve(t, w, "stays"); len(got) != 1 {
		t.Errorf("the GPU went to a caller that had left: %+v", stored(t, store))
	}
}

// broken is a store that holds what no ledger can be.
type broken struct{ Store }

func (broken) Get(context.Context, string) (scale.Ledger, uint64, error) {
	return scale.Ledger{Leases: []scale.Lease{{Holder: "x", Node: "n", Devices: []string{"no-such-gpu"}, State: scale.Bound}}}, 7, nil
}

func TestALedgerThatContradictsItselfIsLeftAlone(t *testing.T) {
	if _, err := Open(t.Context(), broken{}, pool); !errors.Is(err, scale.ErrInvariant) {
		t.Errorf("opened: %v", err)
	}
}

// counted counts the writes.
type counted struct {
	Store
	mu sync.Mutex
	n  int
}

func (c *counted) Put(ctx context.Context, key string, l scale.Ledger, rev uint64) (uint64, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Store.Put(ctx, key, l, rev)
}

func (c *counted) puts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func within(t testing.TB, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("not within a minute")
		}
	}
}

// BenchmarkReserveRelease is one replica's two visits to the ledger of a busy cluster, with
// many callers at once.
func BenchmarkReserveRelease(b *testing.B) {
	for _, gpus := range []int{8, 1024} {
		b.Run(fmt.Sprintf("gpus=%d", gpus), func(b *testing.B) {
			w := opened(b, broker(b), gpus)
			var mu sync.Mutex
			n := 0
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mu.Lock()
					n++
					id := fmt.Sprint("r", n)
					mu.Unlock()
					reserve(b, w, id)
					if err := w.Release(b.Context(), id, "done"); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}
