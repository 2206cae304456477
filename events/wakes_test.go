package events

import (
	"fmt"
	"runtime"
	"testing"

	"stoker.dev/stoker/functions"
)

// TestWakesOfManyFunctionsShareAGoroutine: each function hears its own wakes, and none costs a goroutine.
func TestWakesOfManyFunctionsShareAGoroutine(t *testing.T) {
	b := deployed(t)
	const n = 300
	wakes := make(chan Wake, n)
	before := runtime.NumGoroutine()
	for i := range n {
		k := functions.Key{Namespace: "default", Name: fmt.Sprintf("f-%03d", i)}
		if _, err := b.OnWake(k, func(w Wake) { t.Errorf("%s heard of %s", k, w.Key) }); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := b.OnWake(tiny, func(w Wake) { wakes <- w })
	if err != nil {
		t.Fatal(err)
	}
	flush(t, b)
	if more := runtime.NumGoroutine() - before; more > n/10 {
		t.Errorf("%d goroutines for %d functions", more, n)
	}
	publish(t, b, "1", functions.Standard)
	if w := next(t, wakes); w.Key != tiny || w.Header.Get("ce-id") != "1" {
		t.Errorf("%+v", w)
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if _, there := b.wakes.handlers.Load(tiny); there {
		t.Error("who no longer listens is remembered")
	}
	raw := recorder(t, b, WakeFilter(tiny))
	publish(t, b, "2", functions.Standard)
	next(t, raw)
	if len(wakes) != 0 {
		t.Error("a wake after it was unsubscribed")
	}
	if _, err := b.OnWake(tiny, func(w Wake) { wakes <- w }); err != nil { // as a function that goes back to zero
		t.Fatal(err)
	}
	flush(t, b)
	publish(t, b, "3", functions.Standard)
	if w := next(t, wakes); w.Header.Get("ce-id") != "3" {
		t.Errorf("%+v", w)
	}
}
