package events

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/functions"
)

// A broker that is held refuses what is new, a plain publisher's too, and goes on with what it has: records are
// written, requests acknowledged, functions retired and deployed.
func TestHoldRefusesOnlyWhatIsNew(t *testing.T) {
	b := deployed(t)
	kept := []PubAck{publish(t, b, "1", functions.Batch), publish(t, b, "2", functions.Batch)}
	for range 2 {
		if err := b.Hold(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Publish(t.Context(), Event{ID: "3"}, tiny, functions.Batch); !errors.Is(err, ErrNoRoom) {
		t.Errorf("publish: %v, want ErrNoRoom", err)
	}
	_, err := b.js.Publish(t.Context(), RequestSubject(tiny, functions.Standard), []byte("plain"), jetstream.WithRetryAttempts(0))
	if apiError(err) == nil {
		t.Errorf("a plain publish: %v, want the broker's own refusal", err)
	}
	other := functions.Key{Namespace: "default", Name: "other"}
	if err := b.Deploy(t.Context(), other, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), Event{ID: "4"}, other, functions.Batch); !errors.Is(err, ErrNoRoom) {
		t.Errorf("a deploy opened the shard: %v, want ErrNoRoom", err)
	}
	counts, err := b.PendingOf(t.Context(), tiny, 3)
	if err != nil || total(counts) != len(kept) {
		t.Errorf("%v stored (%v), want the %d that were accepted", counts, err, len(kept))
	}
	rec := Record{ID: kept[0].ID, Function: tiny, Status: StatusOK, Body: make([]byte, 1<<16)}
	if _, err := b.WriteRecord(t.Context(), rec, time.Minute); err != nil {
		t.Errorf("record: %v", err)
	}
	if err := b.Remove(t.Context(), 3, kept[0].Seq); err != nil {
		t.Errorf("remove: %v", err)
	}

	if err := b.Hold(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "5", functions.Batch)
}
