package events

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

func TestEnsureTwiceChangesNothing(t *testing.T) {
	b := newBus(t)
	if err := b.Ensure(t.Context(), StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{StreamResults, StreamDead, StreamEvents} {
		if _, err := b.js.Stream(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{BucketFunctions, BucketState, BucketLedger, BucketAttempts, BucketCost, BucketMinutes} {
		if _, err := b.js.KeyValue(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownFunctionIsRefusedByTheBroker(t *testing.T) {
	b := deployed(t)
	other := functions.Key{Namespace: "default", Name: "other"}
	_, err := b.Publish(t.Context(), Event{}, other, functions.Standard)
	if !errors.Is(err, ErrNotDeployed) {
		t.Errorf("got %v, want ErrNotDeployed", err)
	}
	// A plain client that asks for an answer gets none, at once.
	if _, err := b.nc.Request(RequestSubject(other, functions.Standard), nil, patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("got %v, want no responders", err)
	}
}

func TestDeployIsSteadyAndUndeployTakesTheRequests(t *testing.T) {
	b := newBus(t)
	other := functions.Key{Namespace: "default", Name: "other"}
	for _, k := range []functions.Key{tiny, other, tiny} {
		if err := b.Deploy(t.Context(), k, 3); err != nil {
			t.Fatal(err)
		}
	}
	first := publish(t, b, "1", functions.Batch)
	if err := b.OpenQueue(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	if err := b.Undeploy(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), Event{}, tiny, functions.Batch); !errors.Is(err, ErrNotDeployed) {
		t.Errorf("got %v, want ErrNotDeployed", err)
	}
	if open, err := b.QueueOpen(t.Context(), tiny, 3); err != nil || open {
		t.Errorf("queue open: %v, %v", open, err)
	}
	if _, err := b.Publish(t.Context(), Event{}, other, functions.Batch); err != nil {
		t.Errorf("its neighbour lost its subjects: %v", err)
	}
	for range 2 { // undeploying again changes nothing
		if err := b.Undeploy(t.Context(), other, 3); err != nil {
			t.Fatal(err)
		}
	}
	// Deploying again must not bring the old request back, nor its number, by which a bare payload is named.
	if err := b.Deploy(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	if counts, err := b.Pending(t.Context(), 3); err != nil || len(counts) != 0 {
		t.Errorf("%v, %v", counts, err)
	}
	if again := publish(t, b, "2", functions.Batch); again.Seq <= first.Seq {
		t.Errorf("sequence %d after %d: a new request has an old one's number", again.Seq, first.Seq)
	}
}

// TestRetiredFunctionKeepsItsRequests is what lets a delete drain.
func TestRetiredFunctionKeepsItsRequests(t *testing.T) {
	b := deployed(t)
	if err := b.OpenQueue(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "1", functions.Standard)
	left, err := b.Retire(t.Context(), tiny, 3)
	if err != nil || left != 1 {
		t.Fatalf("%d left, %v", left, err)
	}
	if _, err := b.Publish(t.Context(), Event{}, tiny, functions.Standard); !errors.Is(err, ErrNotDeployed) {
		t.Errorf("got %v, want ErrNotDeployed", err)
	}
	d, err := pullOne(t.Context(), b, functions.Standard)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Peek(t.Context(), 3, tiny, functions.Standard, 0); !errors.Is(err, ErrNoRequest) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestConcurrentDeploysLoseNoSubject writes to one shard from several buses at once.
func TestConcurrentDeploysLoseNoSubject(t *testing.T) {
	b := newBus(t)
	const n = 24
	buses := []*Bus{b, another(t, b), another(t, b)}
	var group sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		group.Go(func() {
			errs[i] = buses[i%len(buses)].Deploy(t.Context(), functions.Key{Namespace: "default", Name: fmt.Sprintf("f%d", i)}, 5)
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s, err := b.js.Stream(t.Context(), ShardStream(5))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for _, subject := range RequestSubjects(functions.Key{Namespace: "default", Name: fmt.Sprintf("f%d", i)}) {
			if !slices.Contains(s.CachedInfo().Config.Subjects, subject) {
				t.Errorf("%s is lost", subject)
			}
		}
	}
}

func TestShardsOutsideTheRangeAreRefused(t *testing.T) {
	b := newBus(t)
	for _, shard := range []int{-1, Shards} {
		if err := b.Deploy(t.Context(), tiny, shard); !errors.Is(err, ErrSubject) {
			t.Errorf("shard %d: %v", shard, err)
		}
	}
}

func TestPlacementIsEvenAndSteady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.IntRange(0, 50), 1, Shards).Draw(t, "counts")
		got := PickShard(counts)
		if counts[got] != slices.Min(counts) || slices.Index(counts, counts[got]) != got {
			t.Fatalf("PickShard(%v) = %d", counts, got)
		}
	})
}

// TestFullQueueIsRefusedPerSubject fills one class to the platform's ceiling.
func TestFullQueueIsRefusedPerSubject(t *testing.T) {
	b := deployed(t)
	subject := RequestSubject(tiny, functions.Batch)
	for i := range QueueCeiling {
		if _, err := b.js.PublishMsgAsync(&nats.Msg{Subject: subject}, jetstream.WithStallWait(patience)); err != nil {
			t.Fatal(i, err)
		}
	}
	<-b.js.PublishAsyncComplete()
	if _, err := b.Publish(t.Context(), Event{}, tiny, functions.Batch); !errors.Is(err, ErrQueueFull) {
		t.Errorf("got %v, want ErrQueueFull", err)
	}
	publish(t, b, "1", functions.Standard)
	if counts, err := b.PendingOf(t.Context(), tiny, 3); err != nil || counts[functions.Batch] != QueueCeiling || counts[functions.Standard] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
}
