package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/activities/capacity"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// patience bounds every wait of these tests; none of them is expected to need it.
const patience = 2 * time.Minute

// obedient stands in for the workflows: whatever it is told is carried out at once, by nobody.
// The real ones run in the end-to-end tests.
type obedient struct{}

func (obedient) Sync(_ context.Context, s workflows.Sync) (workflows.Status, error) {
	return workflows.Status{Epoch: s.Decision.Epoch, Phase: string(s.Decision.Phase)}, nil
}

func (obedient) Status(context.Context, functions.Key) (workflows.Status, error) {
	return workflows.Status{}, workflows.ErrNotRunning
}

// flaky is a bucket whose next writes fail: before they are made, or after, with the answer lost.
type flaky[T any] struct {
	events.KV[T]
	mu            sync.Mutex
	before, after int
}

var errAway = errors.New("the broker is away")

func (f *flaky[T]) Put(ctx context.Context, key string, v T, rev uint64) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before > 0 {
		f.before--
		return 0, errAway
	}
	now, err := f.KV.Put(ctx, key, v, rev)
	if f.after > 0 && err == nil {
		f.after--
		return 0, errAway
	}
	return now, err
}

// rig is a controller over a real broker and ledger.
type rig struct {
	*Controller
	t     *testing.T
	bus   *events.Bus
	fns   *flaky[events.FunctionRecord]
	state *flaky[Stored]
}

func newRig(t *testing.T) *rig { return newRigWith(t, obedient{}) }

func newRigWith(t *testing.T, w Workflows) *rig {
	t.Helper()
	nc, _, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	must(t, bus.Ensure(ctx, events.StreamOptions{}))
	fns, err := events.OpenStore[events.FunctionRecord](ctx, bus, events.BucketFunctions)
	must(t, err)
	state, err := events.OpenStore[Stored](ctx, bus, events.BucketState)
	must(t, err)
	ledgers, err := events.OpenStore[scale.Ledger](ctx, bus, events.BucketLedger)
	must(t, err)
	ledger, err := capacity.Open(ctx, ledgers, "default")
	must(t, err)
	r := &rig{t: t, bus: bus, fns: &flaky[events.FunctionRecord]{KV: fns}, state: &flaky[Stored]{KV: state}}
	r.Controller = New(Options{
		Functions: r.fns, State: r.state, Bus: bus, Ledger: ledger, Workflows: w,
		Provider: simulated.New(simulated.NewWorld(simulated.Options{})), Pool: "default",
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-ledger.Done()
	})
	<-r.Ready()
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) manifest(name, more string) functions.Function {
	r.t.Helper()
	text := fmt.Sprintf("apiVersion: stoker.dev/v1\nkind: Function\nmetadata: {name: %s}\nspec:\n  runtime: {image: none}\n  resources: {gpus: 0}\n%s", name, more)
	fs, err := functions.Parse("test", []byte(text))
	must(r.t, err)
	return fs[0]
}

// until waits for a condition, asked again every few milliseconds.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			r.t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

func (r *rig) deployed() bool {
	fns, err := r.List(r.t.Context(), "")
	must(r.t, err)
	return len(fns) > 0
}

var named = functions.Key{Namespace: "default", Name: "f"}

func (r *rig) publish(n int, c functions.Class) {
	r.t.Helper()
	for i := range n {
		_, err := r.bus.Publish(r.t.Context(), events.Event{ID: fmt.Sprint(c, i), Source: "test", Type: "t", Data: []byte("{}")}, named, c)
		must(r.t, err)
	}
}

func TestDeleteEndsEverythingThatWaits(t *testing.T) {
	r := newRig(t)
	_, err := r.Apply(t.Context(), []functions.Function{r.manifest("f", "")}, false)
	must(t, err)
	must(t, r.Pause(t.Context(), named, true))
	const n = 700 // long enough for the reaper to be on its way when the deletion wants to finish
	r.publish(n, functions.Standard)
	r.publish(n, functions.Batch)
	must(t, r.Delete(t.Context(), named))
	r.until("the function to be gone", func() bool { return !r.deployed() })
	for _, c := range []functions.Class{functions.Standard, functions.Batch} {
		for i := range n {
			rec, err := r.bus.GetRecord(t.Context(), named, fmt.Sprint(c, i), "test")
			if err != nil || rec.Cause != events.CauseDeleted {
				t.Fatalf("record of %s %d: %+v, %v; want cause %s", c, i, rec, err, events.CauseDeleted)
			}
		}
	}
	_, err = r.Apply(t.Context(), []functions.Function{r.manifest("f", "")}, false)
	must(t, err)
}

func TestAWriteThatFailsLeavesTheFunctionChangeable(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(*flaky[events.FunctionRecord])
	}{
		{"before it is made", func(f *flaky[events.FunctionRecord]) { f.before = 1 }},
		{"after, with the answer lost", func(f *flaky[events.FunctionRecord]) { f.after = 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.fail(r.fns)
			_, err := r.Apply(t.Context(), []functions.Function{r.manifest("f", "")}, false)
			if !errors.Is(err, errAway) {
				t.Fatalf("apply: %v, want the bucket's error", err)
			}
			_, err = r.Apply(t.Context(), []functions.Function{r.manifest("f", "")}, false)
			must(t, err)
			c.fail(r.fns)
			if err := r.Pause(t.Context(), named, true); !errors.Is(err, errAway) {
				t.Fatalf("pause: %v, want the bucket's error", err)
			}
			must(t, r.Pause(t.Context(), named, true))
			r.publish(1, functions.Standard) // its subjects are there
		})
	}
}

func TestAFailedSaveKeepsWhatIsKnown(t *testing.T) {
	r := newRig(t)
	_, err := r.Apply(t.Context(), []functions.Function{r.manifest("f", "")}, false)
	must(t, err)
	r.until("the first decision to be kept", func() bool {
		_, _, err := r.state.Get(t.Context(), events.StateKey(named))
		return err == nil
	})
	r.state.mu.Lock()
	r.state.before = 3
	r.state.mu.Unlock()
	must(t, r.Pause(t.Context(), named, true)) // a decision, whose save fails three times
	r.until("the state to be kept in the end", func() bool {
		st, _, err := r.state.Get(t.Context(), events.StateKey(named))
		return err == nil && st.State.Last.Phase == scale.PhasePaused
	})
	if n := r.Metrics().SyncErrors.Load(); n != 3 {
		t.Errorf("%d failed syncs, want the 3 failed saves and no conflict after them", n)
	}
}

func TestExcessOfALongQueueIsShed(t *testing.T) {
	r := newRig(t)
	const depth, sent = reapBatch + 200, reapBatch + 400
	_, err := r.Apply(t.Context(), []functions.Function{r.manifest("f", fmt.Sprintf("  queue: {depth: {batch: %d}}\n", depth))}, false)
	must(t, err)
	must(t, r.Pause(t.Context(), named, true))
	r.publish(sent, functions.Batch)
	r.until("the excess to be shed", func() bool {
		counts, err := r.bus.PendingOf(t.Context(), named, 0)
		must(t, err)
		return counts[functions.Batch] == depth
	})
	for i, want := range map[int]bool{0: false, depth - 1: false, depth: true, sent - 1: true} {
		rec, err := r.bus.GetRecord(t.Context(), named, fmt.Sprint(functions.Batch, i), "test")
		if shed := err == nil && rec.Status == events.StatusShed; shed != want {
			t.Errorf("request %d: shed %v, want %v (%v)", i, shed, want, err)
		}
	}
}
