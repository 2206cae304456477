package events

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/functions"
)

func TestDuplicatesAreStoredOnceAndPerFunction(t *testing.T) {
	b := deployed(t)
	other := functions.Key{Namespace: "default", Name: "other"}
	if err := b.Deploy(t.Context(), other, 3); err != nil {
		t.Fatal(err)
	}
	first := publish(t, b, "1", functions.Standard)
	again := publish(t, b, "1", functions.Standard)
	if first.Duplicate || !again.Duplicate || again.Seq != first.Seq || first.ID != "1" || first.Stream != "STOKER_FN_03" {
		t.Errorf("%+v, then %+v", first, again)
	}
	// The same source and id for another function, or redriven, is another request.
	e := Event{ID: "1", Source: "test", Type: "t"}
	if ack, err := b.Publish(t.Context(), e, other, functions.Standard); err != nil || ack.Duplicate {
		t.Errorf("%+v, %v", ack, err)
	}
	e.Redrive = 1
	if ack, err := b.Publish(t.Context(), e, tiny, functions.Standard); err != nil || ack.Duplicate || ack.ID != "1~r1" {
		t.Errorf("%+v, %v", ack, err)
	}
}

func TestMessageIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{
		MsgID(functions.Key{Namespace: "a", Name: "bc"}, "s", "1", 0), MsgID(functions.Key{Namespace: "ab", Name: "c"}, "s", "1", 0),
		MsgID(tiny, "s1", "1", 0), MsgID(tiny, "s", "11", 0), MsgID(tiny, "s", "1", 1), MsgID(tiny, "s", "1", 0),
	} {
		if seen[id] || len(id) != 64 {
			t.Errorf("%s twice, or no sha256", id)
		}
		seen[id] = true
	}
}

// TestMessageIDsStay: records are told apart by it, those that an older version wrote too.
func TestMessageIDsStay(t *testing.T) {
	const want = "84ac303d9f747b04f52bb8c9ebf4a09a804b289dd87b8de0bf7cb93b4ea63ef1" // printf '7:default4:tiny5:shop/2:421:0' | sha256sum
	if got := MsgID(functions.Key{Namespace: "default", Name: "tiny"}, "shop/", "42", 0); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestWakesCarryHeadersOfStoredRequestsOnly: no payload, nothing for duplicates or refused ones.
func TestWakesCarryHeadersOfStoredRequestsOnly(t *testing.T) {
	b := deployed(t)
	wakes := make(chan Wake, 100)
	if _, err := b.OnWake(tiny, func(w Wake) { wakes <- w }); err != nil {
		t.Fatal(err)
	}
	raw := recorder(t, b, WakeFilter(tiny))
	publish(t, b, "1", functions.Interactive)
	publish(t, b, "1", functions.Interactive) // duplicate
	if _, err := b.Publish(t.Context(), Event{}, functions.Key{Namespace: "default", Name: "other"}, functions.Batch); err == nil {
		t.Fatal("stored")
	}
	publish(t, b, "2", functions.Batch)
	w, m := next(t, wakes), next(t, raw)
	if w.Key != tiny || w.Class != functions.Interactive || w.Header.Get("ce-id") != "1" || time.Since(w.At).Abs() > time.Minute {
		t.Errorf("%+v", w)
	}
	if len(m.Data) != 0 || m.Header.Get("Nats-Sequence") != "1" || m.Header.Get("Nats-Msg-Size") != "15" {
		t.Errorf("republished %v %q", m.Header, m.Data)
	}
	if w := next(t, wakes); w.Header.Get("ce-id") != "2" {
		t.Errorf("the duplicate or the refused one woke: %+v", w)
	}
	flush(t, b)
	if len(wakes) != 0 {
		t.Errorf("%d wakes too many", len(wakes))
	}
}

// TestRedeliveryDoesNotWake is why a reconcile is needed beside the push.
func TestRedeliveryDoesNotWake(t *testing.T) {
	b := deployed(t)
	if err := b.OpenQueue(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	raw := recorder(t, b, WakeFilter(tiny))
	publish(t, b, "1", functions.Standard)
	next(t, raw)
	for range 3 {
		var d *Delivery
		eventually(t, "delivered", func() (ok bool) {
			var err error
			d, err = pullOne(t.Context(), b, functions.Standard)
			return err == nil
		})
		if err := d.GiveBack(0); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, b)
	if len(raw) != 0 {
		t.Errorf("%d wakes for redeliveries", len(raw))
	}
	if counts, err := b.Pending(t.Context(), 3); err != nil || counts[tiny][functions.Standard] != 1 {
		t.Errorf("the reconcile sees %v, %v", counts, err)
	}
}

func TestOneCallCountsAShard(t *testing.T) {
	b := newBus(t)
	want := map[functions.Key]map[functions.Class]uint64{}
	for i := range 40 {
		k := functions.Key{Namespace: fmt.Sprintf("n%d", i%3), Name: fmt.Sprintf("f%d", i)}
		if err := b.Deploy(t.Context(), k, 2); err != nil {
			t.Fatal(err)
		}
		for j := range i % 4 {
			c := functions.Classes()[j%3]
			if _, err := b.Publish(t.Context(), Event{}, k, c); err != nil {
				t.Fatal(err)
			}
			if want[k] == nil {
				want[k] = map[functions.Class]uint64{}
			}
			want[k][c]++
		}
	}
	before := b.nc.Stats().OutMsgs
	got, err := b.Pending(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if calls := b.nc.Stats().OutMsgs - before; calls != 1 {
		t.Errorf("%d calls", calls)
	}
	if !maps.EqualFunc(got, want, maps.Equal[map[functions.Class]uint64, map[functions.Class]uint64]) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if none, err := b.Pending(t.Context(), 9); err != nil || len(none) != 0 {
		t.Errorf("a shard without a stream has %v, %v", none, err)
	}
}

func TestQueueOpensAndClosesOnlyWhenEmpty(t *testing.T) {
	b := deployed(t)
	ctx := t.Context()
	for range 2 {
		if err := b.OpenQueue(ctx, tiny, 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.OpenQueue(ctx, tiny, 4); !errors.Is(err, ErrNotDeployed) {
		t.Errorf("on a shard that is not there: %v", err)
	}
	publish(t, b, "1", functions.Batch)
	d, err := pullOne(ctx, b, functions.Batch)
	if err != nil {
		t.Fatal(err)
	}
	// A request in flight counts like one that waits.
	if n, err := b.CloseQueue(ctx, tiny, 3); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if open, err := b.QueueOpen(ctx, tiny, 3); err != nil || !open {
		t.Errorf("open %v, %v", open, err)
	}
	if err := d.Ack(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := b.CloseQueue(ctx, tiny, 3); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}
	}
	if open, err := b.QueueOpen(ctx, tiny, 3); err != nil || open {
		t.Errorf("open %v, %v", open, err)
	}
	if _, err := pullOne(ctx, b, functions.Batch); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("pull from a closed queue: %v", err)
	}
	// What arrives while it is closed is there when it opens again.
	publish(t, b, "2", functions.Batch)
	if err := b.OpenQueue(ctx, tiny, 3); err != nil {
		t.Fatal(err)
	}
	if d, err := pullOne(ctx, b, functions.Batch); err != nil || d.Request.Event.ID != "2" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestDeliveriesTellWhatAnAgentNeeds(t *testing.T) {
	b := deployed(t)
	ctx := t.Context()
	if err := b.OpenQueue(ctx, tiny, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := pullOne(ctx, b, functions.Standard); !errors.Is(err, ErrNoRequest) {
		t.Fatalf("empty queue: %v", err)
	}
	publish(t, b, "1", functions.Standard)
	publish(t, b, "2", functions.Standard)
	d, err := pullOne(ctx, b, functions.Standard)
	if err != nil {
		t.Fatal(err)
	}
	if d.Request.Event.ID != "1" || d.Delivered != 1 || d.Pending != 1 || d.Request.Key != tiny || d.Request.Stream != "STOKER_FN_03" || d.Request.Seq != 1 {
		t.Errorf("%+v", d)
	}
	if err := d.Working(); err != nil {
		t.Fatal(err)
	}
	if err := d.GiveBack(0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "given back", func() bool {
		d, err = pullOne(ctx, b, functions.Standard)
		return err == nil && d.Request.Event.ID == "1"
	})
	if d.Delivered != 2 {
		t.Errorf("delivered %d times", d.Delivered)
	}
	if err := d.Ack(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestMalformedRequestIsDelivered(t *testing.T) {
	b := deployed(t)
	if err := b.OpenQueue(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{Subject: RequestSubject(tiny, functions.Standard), Header: Header{"ce-id": {"7"}}}
	if _, err := b.js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	d, err := pullOne(t.Context(), b, functions.Standard)
	if err != nil || !errors.Is(d.Malformed, ErrMalformed) || d.Request.Event.ID != "7" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestPeekReadsWithoutConsumerAndRemoveTakesOut(t *testing.T) {
	b := deployed(t)
	ctx := t.Context()
	for i := range 5 {
		publish(t, b, fmt.Sprint(i), functions.Classes()[i%2])
	}
	var ids []string
	for seq := uint64(0); ; {
		r, err := b.Peek(ctx, 3, tiny, functions.Interactive, seq)
		if errors.Is(err, ErrNoRequest) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Event.ID)
		seq = r.Seq + 1
		for range 2 {
			if err := b.Remove(ctx, 3, r.Seq); err != nil {
				t.Fatal(err)
			}
		}
	}
	if fmt.Sprint(ids) != "[0 2 4]" {
		t.Errorf("peeked %v", ids)
	}
	if counts, err := b.PendingOf(ctx, tiny, 3); err != nil || counts[functions.Interactive] != 0 || counts[functions.Standard] != 2 {
		t.Errorf("%v, %v", counts, err)
	}
	if _, err := b.Peek(ctx, 8, tiny, functions.Batch, 0); !errors.Is(err, ErrNoRequest) {
		t.Errorf("a shard without a stream: %v", err)
	}
	if err := b.Remove(ctx, 8, 1); err != nil {
		t.Error(err)
	}
}

func TestTooLargeIsSaidSo(t *testing.T) {
	b := deployed(t)
	_, err := b.Publish(t.Context(), Event{Data: make([]byte, b.nc.MaxPayload()+1)}, tiny, functions.Batch)
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

// TestAnOpenQueueIsMended: a consumer that another version has made otherwise gets what this one
// wants, and one that is as it should be stays the same.
func TestAnOpenQueueIsMended(t *testing.T) {
	b := deployed(t)
	ctx := t.Context()
	old := ConsumerConfig(tiny, functions.Standard)
	want := old.MaxAckPending
	old.MaxAckPending = 7
	if _, err := b.js.CreateConsumer(ctx, ShardStream(3), old); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.OpenQueue(ctx, tiny, 3); err != nil {
			t.Fatal(err)
		}
		c, err := b.js.Consumer(ctx, ShardStream(3), Consumer(tiny, functions.Standard))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.CachedInfo().Config.MaxAckPending; got != want {
			t.Errorf("up to %d are out at once, want %d", got, want)
		}
	}
}
