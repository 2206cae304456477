package events

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

func withID(id string, more ...string) Header {
	h := Header{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-source": {SourceBare}, "ce-type": {"t"}}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = []string{more[i+1]}
	}
	return h
}

// TestIDsOfBarePayloadsAreReserved: a record under the id of a bare payload that is yet to come
// would end it before it ran.
func TestIDsOfBarePayloadsAreReserved(t *testing.T) {
	shard := ShardStream(3)
	body := func(id string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"nats","type":"t"}`
	}
	for name, c := range map[string]struct {
		h    Header
		data string
		ok   bool
	}{
		"binary":                     {withID(BareID(shard, 1234)), "x", false},
		"another shard":              {withID(BareID(ShardStream(9), 1)), "x", false},
		"encoded":                    {withID("STOKER%5FFN_03-1234"), "x", false},
		"with a bad attribute too":   {withID(BareID(shard, 1234), "ce-deadline", "soon"), "x", false},
		"structured":                 {Header{"Content-Type": {mediaStructured}}, body(BareID(shard, 1234)), false},
		"structured without headers": {nil, body(BareID(shard, 1234)), false},
		"redrive of what is to come": {withID(BareID(shard, 1234), "ce-redrive", "1"), "x", false},
		"redrive of itself":          {withID(BareID(shard, 7), "ce-redrive", "1"), "x", false},
		"redrive of no number":       {withID(shard+"-x", "ce-redrive", "1"), "x", false},
		"no redrive after all":       {withID(BareID(shard, 6), "ce-redrive", "x"), "x", false},
		"redrive of what was":        {withID(BareID(shard, 6), "ce-redrive", "1"), "x", true},
		"redrive from another shard": {withID(BareID(ShardStream(9), 9), "ce-redrive", "1"), "x", true},
		"similar":                    {withID("STOKER_FNX-1"), "x", true},
		"bare":                       {nil, "x", true},
	} {
		r, err := NewRequest(RequestSubject(tiny, functions.Batch), c.h, []byte(c.data), shard, 7, time.Now())
		if (err == nil) != c.ok || err != nil && (!errors.Is(err, ErrMalformed) || r.Event.ID != BareID(shard, 7) || r.Event.Redrive != 0) {
			t.Errorf("%s: id %q, redrive %d, %v", name, r.Event.ID, r.Event.Redrive, err)
		}
	}
	_, err := NewRequest(RequestSubject(tiny, functions.Batch), withID(BareID(shard, 9)), nil, shard, 7, time.Now())
	if err == nil || !strings.Contains(err.Error(), ReservedID) || !strings.Contains(err.Error(), "choose another id") {
		t.Errorf("%v does not say what to do", err)
	}
	b := deployed(t)
	if _, err := b.Publish(t.Context(), Event{ID: BareID(shard, 9)}, tiny, functions.Batch); !errors.Is(err, ErrMalformed) {
		t.Errorf("published: %v", err)
	}
}

// TestABarePayloadCanBeBuriedAndRedriven: what the platform itself gave an id keeps it.
func TestABarePayloadCanBeBuriedAndRedriven(t *testing.T) {
	b := deployed(t)
	ctx := t.Context()
	if err := b.OpenQueue(ctx, tiny, 3); err != nil {
		t.Fatal(err)
	}
	stored, err := b.js.Publish(ctx, RequestSubject(tiny, functions.Standard), []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := pullOne(ctx, b, functions.Standard)
	if err != nil || d.Malformed != nil {
		t.Fatal(err, d)
	}
	if err := b.Bury(ctx, d.Request, Attempts{Failures: 3}); err != nil {
		t.Fatal(err)
	}
	page, _, err := b.DeadLetters(ctx, tiny, 0, 1)
	if err != nil || len(page) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	id := BareID(stored.Stream, stored.Sequence)
	ack, err := b.Redrive(ctx, tiny, page[0].Seq)
	if err != nil || ack.ID != id+"~r1" {
		t.Fatalf("%+v, %v", ack, err)
	}
	if d, err := pullOne(ctx, b, functions.Standard); err != nil || d.Malformed != nil || d.Request.Event.ID != id || d.Request.Event.Redrive != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}
