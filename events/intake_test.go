package events

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

// answers is what an intake hands over.
type answers struct {
	requests chan *Delivery
	ended    chan uint64
	refused  chan string
}

func (a answers) Delivered(d *Delivery)      { a.requests <- d }
func (a answers) Ended(ask uint64)           { a.ended <- ask }
func (a answers) Refused(_ uint64, w string) { a.refused <- w }

// openIntake pulls for a replica of tiny, which lives on shard 3.
func openIntake(t *testing.T, b *Bus) (*Intake, answers) {
	t.Helper()
	a := answers{make(chan *Delivery, 100), make(chan uint64, 100), make(chan string, 100)}
	in, err := b.OpenIntake(tiny, "r-1", ShardStream(3), a)
	if err != nil {
		t.Fatal(err)
	}
	return in, a
}

func ask(t *testing.T, in *Intake, class, n int, wait time.Duration, id uint64) {
	t.Helper()
	if err := in.Ask(class, n, wait, id); err != nil {
		t.Fatal(err)
	}
}

func TestIntakeHandsOverRequestsAndStatuses(t *testing.T) {
	b := deployed(t)
	in, got := openIntake(t, b)
	ask(t, in, 1, 1, 0, 1)
	if why := next(t, got.refused); !strings.Contains(why, "503") {
		t.Errorf("of a closed queue: %q", why)
	}
	if err := b.OpenQueue(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	ask(t, in, 1, 1, 0, 2)
	if id := next(t, got.ended); id != 2 {
		t.Errorf("ask %d ended", id)
	}
	for i := range 3 {
		publish(t, b, fmt.Sprint(i), functions.Standard)
	}
	eventually(t, "requests are pending", func() bool {
		c, err := b.js.Consumer(t.Context(), ShardStream(3), Consumer(tiny, functions.Standard))
		return err == nil && c.CachedInfo().NumPending == 3
	})
	ask(t, in, 1, 5, 0, 3)
	for i := range 3 {
		d := next(t, got.requests)
		if d.Request.Event.ID != fmt.Sprint(i) || d.Request.Class != functions.Standard || d.Pending != uint64(2-i) {
			t.Errorf("%+v", d)
		}
		if err := d.Ack(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if id := next(t, got.ended); id != 3 {
		t.Errorf("ask %d ended", id)
	}
	ask(t, in, 0, 1, patience, 4) // waits for what comes
	ask(t, in, 2, 1, 50*time.Millisecond, 5)
	if id := next(t, got.ended); id != 5 {
		t.Errorf("ask %d expired", id)
	}
	publish(t, b, "urgent", functions.Interactive)
	if d := next(t, got.requests); d.Request.Event.ID != "urgent" || d.Ack(t.Context()) != nil {
		t.Errorf("%+v", d)
	}
	ask(t, in, 2, 1, patience, 6)
	if n, err := b.CloseQueue(t.Context(), tiny, 3); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if why := next(t, got.refused); why != "409 Consumer Deleted" {
		t.Errorf("%q", why)
	}
}

// TestClosingAnIntakeLosesNothing closes one while requests are on their way: each is handed
// over, or stays with the broker, and none waits for its ack to run out.
func TestClosingAnIntakeLosesNothing(t *testing.T) {
	b := deployed(t)
	if err := b.OpenQueue(t.Context(), tiny, 3); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		in, got := openIntake(t, b)
		ask(t, in, 1, 1, patience, 1)
		flush(t, b)
		done := make(chan error, 1)
		go func() {
			_, err := b.Publish(t.Context(), Event{ID: fmt.Sprint(i), Source: "s"}, tiny, functions.Standard)
			done <- err
		}()
		if err := in.Close(patient(t)); err != nil { // before, while or after it arrives
			t.Fatal(err)
		}
		if err := next(t, done); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var d *Delivery
		select {
		case d = <-got.requests:
		default:
			eventually(t, "request comes to the next one", func() bool {
				var err error
				d, err = pullOne(t.Context(), b, functions.Standard)
				return err == nil
			})
		}
		if took := time.Since(start); took > AckWait/2 {
			t.Errorf("it came after %v, by its ack running out", took)
		}
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIntakeAsksNothingWhileDisconnected(t *testing.T) {
	b := deployed(t)
	other := another(t, b)
	in, _ := openIntake(t, other)
	other.nc.Close()
	if err := in.Ask(0, 1, 0, 1); err == nil {
		t.Error("an ask was kept for later")
	}
}
