package pull

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// patience bounds the waits of these tests.
const patience = 90 * time.Second

// deaf is a broker that takes asks and answers none.
type deaf struct{}

func (deaf) Ask(int, int, time.Duration, uint64) error { return nil }
func (deaf) Stop() error                               { return nil }

// await looks until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// TestRequestsShareGoroutines runs many requests in few of the slots, one after the other in
// each: there are never more goroutines than slots that were in use, and none once it stopped.
func TestRequestsShareGoroutines(t *testing.T) {
	const slots, used, rounds = 8, 3, 50
	var running atomic.Int32
	goOn := make(chan struct{})
	p := NewPuller(slots, func(*events.Delivery) {
		running.Add(1)
		<-goOn
		running.Add(-1)
	}, slog.New(slog.DiscardHandler))
	p.Begin(deaf{})
	goroutines := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.workers
	}
	for range rounds {
		for range used {
			p.Delivered(&events.Delivery{Request: events.Request{Class: functions.Batch}})
		}
		await(t, "all that was delivered runs", func() bool { return running.Load() == used })
		if n := goroutines(); n != used {
			t.Fatalf("%d goroutines for %d requests", n, used)
		}
		for range used {
			goOn <- struct{}{}
		}
		await(t, "all slots are free again", func() bool { return p.Running() == 0 })
	}
	<-p.Stop()
	await(t, "the goroutines are gone", func() bool { return goroutines() == 0 })
}

// TestStopWaitsForWhatRuns: requests in flight end in their own time.
func TestStopWaitsForWhatRuns(t *testing.T) {
	goOn := make(chan struct{})
	p := NewPuller(1, func(*events.Delivery) { <-goOn }, slog.New(slog.DiscardHandler))
	p.Begin(deaf{})
	p.Delivered(&events.Delivery{Request: events.Request{Class: functions.Interactive}})
	idle := p.Stop()
	select {
	case <-idle:
		t.Fatal("idle while a request runs")
	default:
	}
	close(goOn)
	<-idle
}
