package activities_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/capacity"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

var key = functions.Key{Namespace: "default", Name: "tinylm"}

// rig is the activities over a real broker, a real ledger and simulated machines.
type rig struct {
	*activities.Activities
	ledger  *capacity.Writer
	world   *simulated.World
	bus     *events.Bus
	mu      sync.Mutex
	started []string
}

func newRig(t *testing.T, o simulated.Options) *rig {
	t.Helper()
	r := &rig{}
	o.OnStart = func(s activities.ReplicaSpec) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.started = append(r.started, s.ID)
	}
	r.world = simulated.NewWorld(o)
	provider := simulated.New(r.world)
	nc, _, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	must(t, err)
	r.bus = bus
	ctx, cancel := context.WithCancel(t.Context())
	must(t, r.bus.Ensure(ctx, events.StreamOptions{}))
	must(t, r.bus.Deploy(ctx, key, 3))
	store, err := events.OpenStore[scale.Ledger](ctx, r.bus, events.BucketLedger)
	must(t, err)
	r.ledger, err = capacity.Open(ctx, store, "default")
	must(t, err)
	t.Cleanup(func() { cancel(); <-r.ledger.Done() })
	inv, err := provider.Inventory(ctx)
	must(t, err)
	must(t, r.ledger.SetInventory(ctx, inv))
	r.Activities = &activities.Activities{Provider: provider, Ledger: r.ledger, Queue: r.bus, Access: access{}, Journal: r.bus, Now: time.Now}
	r.deploy(t, "r1")
	return r
}

// deploy keeps a manifest of a revision where the activities look for it.
func (r *rig) deploy(t *testing.T, revision string) {
	t.Helper()
	store, err := events.OpenStore[events.FunctionRecord](t.Context(), r.bus, events.BucketFunctions)
	must(t, err)
	_, rev, err := store.Get(t.Context(), events.StateKey(key))
	if err != nil && !errors.Is(err, events.ErrNotFound) {
		t.Fatal(err)
	}
	spec := functions.Spec{
		Resources: functions.Resources{GPUs: 1},
		Runtime:   functions.Runtime{Env: []functions.EnvVar{{Name: "TOKEN", Value: "in the manifest"}}},
	}
	_, err = store.Put(t.Context(), events.StateKey(key), events.FunctionRecord{Revision: revision, Function: functions.Function{Spec: spec}}, rev)
	must(t, err)
	r.Manifests = store
}

type access struct{}

func (access) AgentAccess(functions.Key, string, int) (events.NATSAccess, error) {
	return events.NATSAccess{URL: "nats://127.0.0.1:4222", Token: "t"}, nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ask(ids ...string) activities.StartRequest {
	return activities.StartRequest{Key: key, Revision: "r1", Shard: 3, IDs: ids}
}

func TestAReplicaRunsWithTheDeployedManifest(t *testing.T) {
	var got functions.Spec
	r := newRig(t, simulated.Options{GPUs: 1, Fate: func(s activities.ReplicaSpec, _ *rand.Rand) simulated.Fate {
		got = s.Spec
		return simulated.Fate{}
	}})
	_, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	if len(got.Runtime.Env) != 1 || got.Runtime.Env[0].Value != "in the manifest" {
		t.Errorf("the replica runs with %+v, want the manifest's environment", got.Runtime)
	}
}

func TestAnOutdatedRevisionIsNotStarted(t *testing.T) {
	r := newRig(t, simulated.Options{GPUs: 1})
	r.deploy(t, "r2")
	out, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	if len(out.Blocked) != 1 || out.Why == "" || len(r.started) != 0 {
		t.Errorf("got %+v and started %v, want a blocked and why", out, r.started)
	}
	if free := r.ledger.Snapshot().Usage().Free; free != 1 {
		t.Errorf("%d free, want nothing claimed", free)
	}
}

func TestStartTwiceStartsOnce(t *testing.T) {
	r := newRig(t, simulated.Options{GPUs: 4})
	for range 2 {
		out, err := r.StartReplicas(t.Context(), ask("a", "b"))
		must(t, err)
		if len(out.Started) != 2 || len(out.Blocked)+len(out.Failed) != 0 {
			t.Fatalf("got %+v, want both started", out)
		}
	}
	if u := r.ledger.Snapshot().Usage(); u.Bound != 2 || u.Free != 2 {
		t.Errorf("usage %+v, want 2 bound and 2 free", u)
	}
	all, err := r.Provider.List(t.Context())
	must(t, err)
	if len(all) != 2 {
		t.Errorf("%d replicas run, want 2", len(all))
	}
	open, err := r.bus.QueueOpen(t.Context(), key, 3)
	must(t, err)
	if !open {
		t.Error("the queue was not opened beside the starts")
	}
}

// stuckJournal is one whose broker says nothing, as with a full disk.
type stuckJournal struct{}

func (stuckJournal) Emit(ctx context.Context, _ functions.Key, _, _ string, _ any) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAStuckJournalHoldsUpNothing(t *testing.T) {
	r := newRig(t, simulated.Options{GPUs: 2})
	r.Journal = stuckJournal{}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // as long as one try of an activity has
	defer cancel()
	out, err := r.StartReplicas(ctx, ask("a", "b"))
	must(t, err)
	if len(out.Started) != 2 {
		t.Fatalf("got %+v, want both started", out)
	}
	must(t, r.DrainReplica(ctx, activities.ReplicaRef{Key: key, ID: "a"}))
	must(t, ctx.Err())
}

func TestNoCapacityIsAnAnswerThatNamesTheHolders(t *testing.T) {
	r := newRig(t, simulated.Options{GPUs: 1})
	_, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	out, err := r.StartReplicas(t.Context(), ask("b"))
	must(t, err)
	if len(out.Blocked) != 1 || out.Why == "" {
		t.Fatalf("got %+v, want b blocked and why", out)
	}
}

func TestRefusedStartGivesItsLeaseBack(t *testing.T) {
	refused := activities.ErrNoCommand
	r := newRig(t, simulated.Options{GPUs: 1, Fate: func(activities.ReplicaSpec, *rand.Rand) simulated.Fate { return simulated.Fate{Refuse: refused} }})
	out, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	if len(out.Failed) != 1 || out.Failed[0].Cause != events.CauseSpawnFailed {
		t.Fatalf("got %+v, want a failed with its cause", out)
	}
	if free := r.ledger.Snapshot().Usage().Free; free != 1 {
		t.Errorf("%d free, want the GPU back", free)
	}
}

// What nothing can be started for now waits, and holds nothing meanwhile.
func TestAStartThatCannotBeNowIsNoFailure(t *testing.T) {
	away := fmt.Errorf("%w: exceeded quota: gpus", activities.ErrNotNow)
	r := newRig(t, simulated.Options{GPUs: 1, Fate: func(activities.ReplicaSpec, *rand.Rand) simulated.Fate { return simulated.Fate{Refuse: away} }})
	out, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	if len(out.Blocked) != 1 || len(out.Failed) != 0 || !strings.Contains(out.Why, "exceeded quota") {
		t.Errorf("got %+v, want a blocked and why", out)
	}
	if free := r.ledger.Snapshot().Usage().Free; free != 1 {
		t.Errorf("%d free, want the GPU back", free)
	}
	// Its lease has ended, so the same ID cannot start; that is no failure of the function's either.
	out, err = r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	if len(out.Blocked) != 1 || len(out.Failed) != 0 {
		t.Errorf("got %+v, want a blocked again", out)
	}
}

func TestUnreachableProviderKeepsTheLeaseForTheRetry(t *testing.T) {
	away := errors.New("connection refused")
	r := newRig(t, simulated.Options{GPUs: 1, Fate: func(activities.ReplicaSpec, *rand.Rand) simulated.Fate { return simulated.Fate{Refuse: away} }})
	if _, err := r.StartReplicas(t.Context(), ask("a")); !errors.Is(err, away) {
		t.Fatalf("got %v, want the provider's error", err)
	}
	if _, held := r.ledger.Snapshot().Lease("a"); !held {
		t.Error("the lease is gone; the retry would not find it")
	}
}

func TestLeaseIsReleasedOnlyWhenNothingIsLeft(t *testing.T) {
	r := newRig(t, simulated.Options{GPUs: 1, Fate: func(activities.ReplicaSpec, *rand.Rand) simulated.Fate { return simulated.Fate{Deaf: true} }})
	_, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	ref := activities.ReplicaRef{Key: key, ID: "a", Grace: functions.Duration(time.Hour), Cause: "idle"}
	must(t, r.DrainReplica(t.Context(), ref))
	if err := r.ReleaseReplica(t.Context(), ref); !errors.Is(err, activities.ErrStillRunning) {
		t.Fatalf("released while it runs: %v", err)
	}
	if free := r.ledger.Snapshot().Usage().Free; free != 0 {
		t.Fatalf("%d free while the replica drains, want 0", free)
	}
	gone, err := r.StopReplica(t.Context(), ref)
	must(t, err)
	if !gone {
		t.Fatal("killed, and still there")
	}
	for range 2 { // twice: a no-op
		must(t, r.ReleaseReplica(t.Context(), ref))
	}
	if free := r.ledger.Snapshot().Usage().Free; free != 1 {
		t.Errorf("%d free, want 1", free)
	}
}

// TestAStartOfWhatIsOnItsWayOutKeepsItsLease: the start is tried again, its answer having been lost, and by then the
// replica is asked to go. It is refused, and has its GPU until it is gone.
func TestAStartOfWhatIsOnItsWayOutKeepsItsLease(t *testing.T) {
	r := newRig(t, simulated.Options{GPUs: 1, Fate: func(activities.ReplicaSpec, *rand.Rand) simulated.Fate { return simulated.Fate{Deaf: true} }})
	_, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	must(t, r.Provider.Stop(t.Context(), "a", time.Hour))
	out, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	if len(out.Failed)+len(out.Blocked) != 0 || len(out.Started) != 1 {
		t.Errorf("got %+v, want a started: its end will be seen", out)
	}
	if free := r.ledger.Snapshot().Usage().Free; free != 0 {
		t.Errorf("%d free while it drains, want 0", free)
	}
}

func TestStopForbidsALaterStart(t *testing.T) {
	r := newRig(t, simulated.Options{GPUs: 1})
	gone, err := r.StopReplica(t.Context(), activities.ReplicaRef{Key: key, ID: "late"})
	must(t, err)
	if !gone {
		t.Error("what never ran is not gone")
	}
	out, err := r.StartReplicas(t.Context(), ask("late"))
	must(t, err)
	if len(out.Failed) != 1 {
		t.Errorf("got %+v, want the late start refused", out)
	}
}

func TestCloseQueueKeepsWhatWaits(t *testing.T) {
	r := newRig(t, simulated.Options{GPUs: 1})
	_, err := r.StartReplicas(t.Context(), ask("a"))
	must(t, err)
	_, err = r.bus.Publish(t.Context(), events.Event{ID: "1", Source: "test", Type: "t", Data: []byte("{}")}, key, functions.Batch)
	must(t, err)
	q := activities.QueueRef{Key: key, Shard: 3}
	n, err := r.CloseQueue(t.Context(), q)
	must(t, err)
	if n != 1 {
		t.Fatalf("%d wait, want 1", n)
	}
	if open, err := r.bus.QueueOpen(t.Context(), key, 3); err != nil || !open {
		t.Errorf("open %v, %v; want the queue left open", open, err)
	}
}
