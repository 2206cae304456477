package events_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

func TestASnapshotMakesTheStreamAgain(t *testing.T) {
	bus := newBus(t)
	ctx := t.Context()
	if err := bus.Ensure(ctx, events.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	k := functions.Key{Namespace: "default", Name: "kept"}
	if err := bus.Deploy(ctx, k, 2); err != nil {
		t.Fatal(err)
	}
	payload := bytes.Repeat([]byte("a long question "), 40<<10)
	for id := range 5 { // several chunks
		_, err := bus.Publish(ctx, events.Event{ID: string(rune('a' + id)), Source: "t", Type: "t", Data: payload}, k, functions.Standard)
		if err != nil {
			t.Fatal(err)
		}
	}
	var snapshot bytes.Buffer
	meta, err := bus.Snapshot(ctx, events.ShardStream(2), &snapshot)
	if err != nil {
		t.Fatal(err)
	}
	other := newBus(t)
	if err := other.RestoreStream(ctx, events.ShardStream(2), meta, &snapshot); err != nil {
		t.Fatal(err)
	}
	if seq, err := other.LastSequence(ctx, events.ShardStream(2)); err != nil || seq != 5 {
		t.Errorf("last sequence %d, %v; want 5", seq, err)
	}
	got, err := other.Peek(ctx, 2, k, functions.Standard, 1)
	if err != nil || !bytes.Equal(got.Event.Data, payload) {
		t.Errorf("got %v with %d bytes, want the first request", err, len(got.Event.Data))
	}
}

func newBus(t *testing.T) *events.Bus {
	t.Helper()
	nc, _, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	if err != nil {
		t.Fatal(err)
	}
	return bus
}

func TestAHalfSnapshotIsNotRestored(t *testing.T) {
	bus := newBus(t)
	ctx := t.Context()
	if err := bus.Ensure(ctx, events.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	var snapshot bytes.Buffer
	meta, err := bus.Snapshot(ctx, events.StreamDead, &snapshot)
	if err != nil {
		t.Fatal(err)
	}
	half := bytes.NewReader(snapshot.Bytes()[:snapshot.Len()/2])
	if err := newBus(t).RestoreStream(ctx, events.StreamDead, meta, half); !errors.Is(err, events.ErrSnapshot) {
		t.Errorf("got %v, want ErrSnapshot", err)
	}
}

func TestStreamsAreInTheOrderInWhichTheirSnapshotsFit(t *testing.T) {
	bus := newBus(t)
	ctx := t.Context()
	if _, err := bus.SnapshotStreams(ctx); err == nil {
		t.Error("a broker without stoker's streams has something to keep")
	}
	if err := bus.Ensure(ctx, events.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, shard := range []int{9, 3} {
		if err := bus.Deploy(ctx, functions.Key{Namespace: "a", Name: fmt.Sprint("f", shard)}, shard); err != nil {
			t.Fatal(err)
		}
	}
	got, err := bus.SnapshotStreams(ctx)
	if err != nil {
		t.Fatal(err)
	}
	records := slices.Index(got, events.StreamResults)
	for _, shard := range []int{3, 9} {
		if i := slices.Index(got, events.ShardStream(shard)); i < 0 || i > records {
			t.Errorf("shard %d is at %d, the records at %d", shard, i, records)
		}
	}
	for _, name := range append(got, "KV_OTHER", "OTHER") {
		if own := !strings.HasSuffix(name, "OTHER"); events.OwnStream(name) != own {
			t.Errorf("stream %s is the platform's own: want %t", name, own)
		}
	}
	if last := got[len(got)-1]; !strings.HasSuffix(last, events.BucketFunctions) {
		t.Errorf("the last one is %s", last)
	}
}

func TestASnapshotOfNothingSaysSo(t *testing.T) {
	_, err := newBus(t).Snapshot(t.Context(), "NOTHING", io.Discard)
	if err == nil || !strings.Contains(err.Error(), "NOTHING") {
		t.Errorf("got %v", err)
	}
}
