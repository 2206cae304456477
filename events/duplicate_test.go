package events

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// stranger is a function of another namespace, on the shard of tiny.
var stranger = functions.Key{Namespace: "elsewhere", Name: "stranger"}

var planted = Event{ID: "order-7", Source: "shop", Type: "t", Data: []byte("{}")}

// plant publishes as any client may, with a Nats-Msg-Id of its choice.
func plant(t *testing.T, b *Bus, k functions.Key, e Event) *jetstream.PubAck {
	t.Helper()
	h := nats.Header{}
	if e.ID != "" {
		var err error
		if h, err = e.Encode(); err != nil {
			t.Fatal(err)
		}
	}
	m := &nats.Msg{Subject: RequestSubject(k, functions.Standard), Header: h, Data: []byte("mine")}
	m.Header.Set(jetstream.MsgIDHeader, MsgID(tiny, planted.Source, planted.ID, planted.Redrive))
	ack, err := another(t, b).js.PublishMsg(t.Context(), m)
	if err != nil || ack.Duplicate {
		t.Fatalf("%+v, %v", ack, err)
	}
	return ack
}

// TestNobodyTakesARequestsPlace: whoever knows a request's source and id can send its Nats-Msg-Id
// first, to a function of their own or to the same one.
func TestNobodyTakesARequestsPlace(t *testing.T) {
	other := planted
	other.ID = "of-my-own"
	redriven := planted
	redriven.Redrive = 1
	for _, c := range []struct {
		name string
		k    functions.Key
		e    Event
		gone bool // before the request comes
	}{
		{"another namespace, same event", stranger, planted, false},
		{"another namespace, gone", stranger, planted, true},
		{"another namespace, bare payload", stranger, Event{}, false},
		{"same function, another event", tiny, other, false},
		{"same function, another event, gone", tiny, other, true},
		{"same function, as a redrive", tiny, redriven, false},
		{"same function, bare payload", tiny, Event{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := deployed(t)
			if err := b.Deploy(t.Context(), stranger, 3); err != nil {
				t.Fatal(err)
			}
			first := plant(t, b, c.k, c.e)
			if c.gone {
				if err := b.Remove(t.Context(), 3, first.Sequence); err != nil {
					t.Fatal(err)
				}
			}
			ack, err := b.Publish(t.Context(), planted, tiny, functions.Standard)
			if err != nil || ack.Duplicate || ack.Seq == first.Sequence {
				t.Fatalf("%+v, %v; want it stored behind %d", ack, err, first.Sequence)
			}
			r, err := b.Peek(t.Context(), 3, tiny, functions.Standard, ack.Seq)
			if err != nil || r.Event.ID != planted.ID || string(r.Event.Data) != "{}" {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// TestOwnDuplicatesStayOne while they wait, in another class too, and once they have their record.
func TestOwnDuplicatesStayOne(t *testing.T) {
	b := deployed(t)
	first, err := b.Publish(t.Context(), planted, tiny, functions.Standard)
	if err != nil {
		t.Fatal(err)
	}
	again := func(what string, c functions.Class, duplicate bool) {
		t.Helper()
		ack, err := b.Publish(t.Context(), planted, tiny, c)
		if err != nil || ack.Duplicate != duplicate || duplicate && ack.Seq != first.Seq {
			t.Errorf("%s: %+v, %v; want duplicate %v", what, ack, err, duplicate)
		}
	}
	again("waiting", functions.Standard, true)
	again("of another class", functions.Batch, true)
	r, err := b.Peek(t.Context(), 3, tiny, functions.Standard, first.Seq)
	if err != nil {
		t.Fatal(err)
	}
	// Another source's record under the same id is not this request's.
	foreign := r.Record(StatusOK, "", "")
	foreign.Source = "another"
	if _, err := b.WriteRecord(t.Context(), foreign, time.Hour); err != nil {
		t.Fatal(err)
	}
	if ended, err := b.Ended(t.Context(), r); ended || err != nil {
		t.Errorf("ended with another source's record: %v, %v", ended, err)
	}
	if _, err := b.WriteRecord(t.Context(), r.Record(StatusOK, "", ""), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), 3, first.Seq); err != nil {
		t.Fatal(err)
	}
	again("ended", functions.Standard, true)
}

// TestALookalikesRecordEndsNothing: an id may look like that of another's redrive.
func TestALookalikesRecordEndsNothing(t *testing.T) {
	b := deployed(t)
	lookalike := planted
	lookalike.ID += "~r1"
	r := Request{Event: lookalike, Key: tiny}
	if _, err := b.WriteRecord(t.Context(), r.Record(StatusOK, "", ""), time.Hour); err != nil {
		t.Fatal(err)
	}
	redriven := Request{Event: planted, Key: tiny}
	redriven.Event.Redrive = 1
	if ended, err := b.Ended(t.Context(), redriven); ended || err != nil {
		t.Errorf("ended: %v, %v", ended, err)
	}
	if ended, err := b.Ended(t.Context(), r); !ended || err != nil {
		t.Errorf("its own: %v, %v", ended, err)
	}
}

// TestADuplicateThatCannotBeLookedForIsNoPromise: the answer is an error, not an acknowledgement.
func TestADuplicateThatCannotBeLookedForIsNoPromise(t *testing.T) {
	b := deployed(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	instead, err := b.takenInstead(ctx, Request{Event: planted, Key: tiny, Stream: ShardStream(3), Seq: 1})
	if instead || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", instead, err)
	}
}
