package events_test

import (
	"testing"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
)

func TestProbeSeesABrokerThatStoresNothing(t *testing.T) {
	nc, js, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := bus.Ensure(ctx, events.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := bus.Probe(ctx); err != nil {
			t.Fatalf("a healthy broker: %v", err)
		}
	}
	s, err := js.Stream(ctx, "KV_"+events.BucketAttempts)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxMsgSize = 1 // nothing fits, as on a full disk
	if _, err := js.UpdateStream(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := bus.Probe(ctx); err == nil {
		t.Error("the broker has no room, and the probe saw nothing")
	}
}
