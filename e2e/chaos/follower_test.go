package chaos

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

// forgetful is a broker whose results stream replaces a request's record instead of refusing a second one.
func forgetful(t *testing.T) (*events.Bus, *book) {
	t.Helper()
	nc, js, _ := eventstest.Start(t)
	bus, err := events.NewBus(nc, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := events.ResultsConfig(events.StreamOptions{})
	c.Discard, c.DiscardNewPerSubject = jetstream.DiscardOld, false
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b, err := openBook(filepath.Join(t.TempDir(), "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return bus, b
}

func write(t *testing.T, bus *events.Bus, id string) {
	t.Helper()
	r := events.Record{ID: id, Source: "/chaos", Function: harness.Key("f"), Class: functions.Batch, Status: events.StatusShed}
	if _, err := bus.WriteRecord(t.Context(), r, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// found are the kinds of violations of a history in which these requests were sent and acknowledged.
func found(b *book, ids ...string) []history.Broken {
	var sent []history.Record
	for _, id := range ids {
		sent = append(sent, history.Record{Kind: history.Sent, ID: id}, history.Record{Kind: history.Acked, ID: id})
	}
	var out []history.Broken
	for _, v := range history.Check(append(append(sent, b.all()...), history.Record{Kind: history.Complete}), history.Bounds{}) {
		out = append(out, v.Kind)
	}
	return out
}

func storedIn(b *book) int {
	n := 0
	for _, r := range b.all() {
		if r.Kind == history.Stored {
			n++
		}
	}
	return n
}

// TestASecondRecordIsSeen although the stream keeps only the last.
func TestASecondRecordIsSeen(t *testing.T) {
	bus, b := forgetful(t)
	f := startFollower(bus.JetStream(), b)
	defer f.stop()
	for i, id := range []string{"once", "twice", "twice"} {
		write(t, bus, id)
		harness.Eventually(t, "the record to be followed", func() (bool, any) { return storedIn(b) == i+1, storedIn(b) })
	}
	if err := f.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := found(b, "once", "twice"); !slices.Equal(got, []history.Broken{history.RecordGone, history.Twice}) {
		t.Errorf("found %v", got)
	}
}

// TestARecordThatNobodyFollowedIsMissed: while the follower was away, its number tells.
func TestARecordThatNobodyFollowedIsMissed(t *testing.T) {
	bus, b := forgetful(t)
	f := startFollower(bus.JetStream(), b)
	f.stop()
	for _, id := range []string{"once", "twice", "twice"} {
		write(t, bus, id)
	}
	if err := f.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := found(b, "once", "twice"); !slices.Equal(got, []history.Broken{history.RecordGone}) {
		t.Errorf("found %v", got)
	}
}

// TestEveryRecordIsFollowedOnce, through a follower that begins anew.
func TestEveryRecordIsFollowedOnce(t *testing.T) {
	bus, b := forgetful(t)
	first := startFollower(bus.JetStream(), b)
	write(t, bus, "a")
	harness.Eventually(t, "the record to be followed", func() (bool, any) { return storedIn(b) == 1, storedIn(b) })
	first.stop()
	write(t, bus, "b")
	if err := first.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := found(b, "a", "b"); len(got) != 0 || storedIn(b) != 2 {
		t.Errorf("found %v, %d records", got, storedIn(b))
	}
}

// TestLeftoversAreSeen with a replica that is kept warm: its processes, its lease and its consumers.
func TestLeftoversAreSeen(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 1})
	f := p.Function("warm")
	f.Spec.Scaling.KeepAlive = "10m"
	p.Apply(f)
	js := p.JetStream()
	p.AwaitRecords("warm", []string{p.MustPublish(js, "warm", functions.Standard, "x")})
	left, err := leftovers(t.Context(), p, js, kept{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, r := range left {
		kinds[r.What]++
	}
	if kinds["process"] < 2 || kinds["lease"] != 1 || kinds["consumer"] != len(functions.Classes()) {
		t.Errorf("left: %v", kinds)
	}
	var k kept
	for _, class := range functions.Classes() {
		k.consumers = append(k.consumers, events.Consumer(harness.Key("warm"), class))
	}
	now, err := p.API.Get(t.Context(), harness.Key("warm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range now.Replicas {
		k.replicas = append(k.replicas, r.ID)
	}
	if left, err := leftovers(t.Context(), p, js, k); err != nil || len(left) != 0 {
		t.Errorf("beside what is kept: %v, %v", left, err)
	}
}
