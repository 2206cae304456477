package events

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

// patience bounds every wait of these tests.
const patience = 90 * time.Second

var tiny = functions.Key{Namespace: "default", Name: "tinylm"}

// newBus starts a broker with the platform's streams.
func newBus(t testing.TB) *Bus {
	t.Helper()
	nc, _, _ := eventstest.Start(t)
	b, err := NewBus(nc, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context(), StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// deployed starts a broker where tiny lives on shard 3.
func deployed(t testing.TB) *Bus {
	t.Helper()
	b := newBus(t)
	if err := b.Deploy(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	return b
}

// another connects a second bus to the same broker, as another process would.
func another(t testing.TB, b *Bus) *Bus {
	t.Helper()
	other, err := Connect(NATSAccess{URL: b.nc.ConnectedUrl()}, ConnectOptions{Name: t.Name(), Once: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	return other
}

func publish(t testing.TB, b *Bus, id string, c functions.Class) PubAck {
	t.Helper()
	ack, err := b.Publish(t.Context(), Event{ID: id, Source: "test", Type: "t", Data: []byte(`{"prompt":"hi"}`)}, tiny, c)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// pullOne pulls one request of tiny as any NATS client could. It waits a moment: a consumer
// hears of a message just after its publisher has.
func pullOne(ctx context.Context, b *Bus, c functions.Class) (*Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, NextSubject(ShardStream(3), Consumer(tiny, c)), []byte(`{"batch":1,"expires":1000000000}`))
	if err != nil {
		return nil, err
	}
	if m.Header.Get("Status") != "" {
		return nil, ErrNoRequest
	}
	return deliveryOf(m)
}

// next waits for one value.
func next[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-ch:
		if !ok {
			t.Fatal("channel closed")
		}
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came within %v", patience)
	}
	panic("unreachable")
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func flush(t testing.TB, b *Bus) {
	t.Helper()
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// recorder collects the messages of a subject.
func recorder(t testing.TB, b *Bus, subject string) <-chan *nats.Msg {
	t.Helper()
	ch := make(chan *nats.Msg, 1000)
	if _, err := b.nc.ChanSubscribe(subject, ch); err != nil {
		t.Fatal(err)
	}
	flush(t, b)
	return ch
}
