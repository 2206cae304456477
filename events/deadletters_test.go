package events

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

// buried makes a dead letter of a request that was really stored and pulled.
func buried(t testing.TB, b *Bus, e Event, c functions.Class) Request {
	t.Helper()
	ctx := t.Context()
	if err := b.OpenQueue(ctx, tiny, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(ctx, e, tiny, c); err != nil {
		t.Fatal(err)
	}
	d, err := pullOne(ctx, b, c)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the agent may die between the two, and do it again
		if err := b.Bury(ctx, d.Request, Attempts{Failures: 3, Cause: CauseBackend, Message: "model\nsaid no"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Ack(ctx); err != nil {
		t.Fatal(err)
	}
	return d.Request
}

func TestDeadLetterKeepsTheRequest(t *testing.T) {
	b := deployed(t)
	e := full()
	want := buried(t, b, e, functions.Batch)
	page, more, err := b.DeadLetters(t.Context(), tiny, 0, 10)
	if err != nil || len(page) != 1 || more != 0 {
		t.Fatalf("%d dead letters, next %d, %v", len(page), more, err)
	}
	d := page[0]
	if !reflect.DeepEqual(d.Request, want) {
		t.Errorf("kept\n%+v\nwas\n%+v", d.Request, want)
	}
	if d.Failures != 3 || d.Cause != CauseBackend || d.Message != "model\nsaid no" || time.Since(d.Died).Abs() > time.Minute {
		t.Errorf("%+v", d)
	}
	if again, err := b.DeadLetter(t.Context(), tiny, d.Seq); err != nil || !reflect.DeepEqual(again, d) {
		t.Errorf("%+v, %v", again, err)
	}
	other := functions.Key{Namespace: "default", Name: "other"}
	for _, seq := range []uint64{d.Seq, d.Seq + 1} {
		if _, err := b.DeadLetter(t.Context(), other, seq); !errors.Is(err, ErrNotFound) {
			t.Errorf("dead letter %d of another function: %v", seq, err)
		}
	}
}

func TestDeadLettersAreListedPageByPage(t *testing.T) {
	b := deployed(t)
	other := functions.Key{Namespace: "default", Name: "other"}
	if err := b.Deploy(t.Context(), other, 3); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		k := tiny
		if i == 3 {
			k = other
		}
		r := Request{Event: Event{ID: fmt.Sprint(i), Source: "s", Type: "t"}, Key: k, Class: functions.Classes()[i%3], Stream: ShardStream(3), Seq: uint64(i + 1), Stored: time.Now()}
		if err := b.Bury(t.Context(), r, Attempts{Failures: 1}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	pages := 0
	for from := uint64(0); ; {
		page, more, err := b.DeadLetters(t.Context(), tiny, from, 2)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, d := range page {
			ids = append(ids, d.Request.Event.ID)
		}
		if from = more; more == 0 {
			break
		}
	}
	if fmt.Sprint(ids) != "[0 1 2 4 5 6]" || pages != 3 {
		t.Errorf("%v in %d pages", ids, pages)
	}
	if n, err := b.PurgeDead(t.Context(), tiny); err != nil || n != 6 {
		t.Errorf("purged %d, %v", n, err)
	}
	if n, err := b.CountDead(t.Context(), tiny); err != nil || n != 0 {
		t.Errorf("%d left, %v", n, err)
	}
	if n, err := b.CountDead(t.Context(), other); err != nil || n != 1 {
		t.Errorf("%d of the other function, %v", n, err)
	}
}

// TestRedriveIsANewRequest: a record of its own, and none of the deadline and caller that
// are gone.
func TestRedriveIsANewRequest(t *testing.T) {
	b := deployed(t)
	e := full()
	e.Redrive = 0
	buried(t, b, e, functions.Batch)
	page, _, err := b.DeadLetters(t.Context(), tiny, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := b.Redrive(t.Context(), tiny, page[0].Seq)
	if err != nil || ack.ID != "order-7~r1" || ack.Duplicate {
		t.Fatalf("%+v, %v", ack, err)
	}
	d, err := pullOne(t.Context(), b, functions.Batch)
	if err != nil {
		t.Fatal(err)
	}
	want := e
	want.Redrive, want.Deadline, want.ReplyTo, want.Stream, want.Sync = 1, time.Time{}, "", false, false
	if !reflect.DeepEqual(d.Request.Event, want) {
		t.Errorf("redriven as\n%+v\nwant\n%+v", d.Request.Event, want)
	}
	if n, err := b.CountDead(t.Context(), tiny); err != nil || n != 0 {
		t.Errorf("%d dead letters left, %v", n, err)
	}
	if _, err := b.Redrive(t.Context(), tiny, page[0].Seq); !errors.Is(err, ErrNotFound) {
		t.Errorf("redriving again: %v", err)
	}
}

// TestRedrivingTwiceAtOncePublishesOnce covers two operators, and one that died between
// publish and delete.
func TestRedrivingTwiceAtOncePublishesOnce(t *testing.T) {
	b := deployed(t)
	buried(t, b, Event{ID: "1", Source: "s", Type: "t"}, functions.Standard)
	page, _, err := b.DeadLetters(t.Context(), tiny, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := b.Redrive(t.Context(), tiny, page[0].Seq); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if counts, err := b.PendingOf(t.Context(), tiny, 3); err != nil || counts[functions.Standard] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
}

func TestRedriveWaitsForTheFunction(t *testing.T) {
	b := deployed(t)
	buried(t, b, Event{ID: "1", Source: "s", Type: "t"}, functions.Standard)
	if err := b.Undeploy(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	page, _, err := b.DeadLetters(t.Context(), tiny, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Redrive(t.Context(), tiny, page[0].Seq); !errors.Is(err, ErrNotDeployed) {
		t.Errorf("got %v, want ErrNotDeployed", err)
	}
	if n, err := b.CountDead(t.Context(), tiny); err != nil || n != 1 {
		t.Errorf("%d dead letters, %v: a refused redrive must keep it", n, err)
	}
}

func TestFailuresAreCountedOnceEach(t *testing.T) {
	b := newBus(t)
	ctx := t.Context()
	if a, err := b.Attempts(ctx, tiny, "STOKER_FN_03", 1); err != nil || a != (Attempts{}) {
		t.Errorf("%+v, %v", a, err)
	}
	const n = 8
	var group sync.WaitGroup
	seen := make([]int, n+1)
	var mu sync.Mutex
	for range n {
		group.Go(func() {
			a, err := b.CountFailure(ctx, tiny, "STOKER_FN_03", 1, Attempts{Cause: CauseBackend, At: time.Now().UTC()})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen[a.Failures]++
		})
	}
	group.Wait()
	if fmt.Sprint(seen) != "[0 1 1 1 1 1 1 1 1]" {
		t.Errorf("counts seen: %v", seen)
	}
	if a, err := b.Attempts(ctx, tiny, "STOKER_FN_03", 2); err != nil || a.Failures != 0 {
		t.Errorf("its neighbour: %+v, %v", a, err)
	}
	for range 2 {
		if err := b.ForgetAttempts(ctx, tiny, "STOKER_FN_03", 1); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := b.Attempts(ctx, tiny, "STOKER_FN_03", 1); err != nil || a.Failures != 0 {
		t.Errorf("forgotten: %+v, %v", a, err)
	}
	if a, err := b.CountFailure(ctx, tiny, "STOKER_FN_03", 1, Attempts{}); err != nil || a.Failures != 1 {
		t.Errorf("counted anew: %+v, %v", a, err)
	}
}
