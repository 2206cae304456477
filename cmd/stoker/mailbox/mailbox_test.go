package mailbox_test

import (
	"context"
	"errors"
	"testing"

	"stoker.dev/stoker/cmd/stoker/mailbox"
)

var errEnded = errors.New("it has ended")

// owned is a count that one goroutine owns.
func owned(t *testing.T, size int) (b *mailbox.Box, n *int, end func()) {
	t.Helper()
	b, n = mailbox.New(size, errEnded), new(int)
	inner, stop := b.Begin(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-inner.Done():
				return
			case f := <-b.In():
				f()
			}
		}
	}()
	return b, n, func() { stop(); <-over }
}

func TestTheOwnerAloneTouchesItsState(t *testing.T) {
	b, n, end := owned(t, 1)
	const posts = 100
	for range posts {
		b.Outside(func(context.Context) { b.Post(func() { *n++ }) })
	}
	b.Wait()
	var saw int
	if err := b.Call(t.Context(), func() { saw = *n }); err != nil || saw != posts {
		t.Errorf("it saw %d of %d, %v", saw, posts, err)
	}
	end()
}

func TestWhoComesTooLateIsRefused(t *testing.T) {
	b, _, end := owned(t, 0)
	ended := make(chan struct{})
	b.Outside(func(ctx context.Context) { <-ctx.Done(); close(ended) })
	end()
	select {
	case <-ended:
	default:
		t.Error("it ended before what runs outside had")
	}
	b.Post(func() { t.Error("taken in after the end") })
	if b.Offer(func() {}) {
		t.Error("offered with nobody there, and taken")
	}
	if err := b.Call(t.Context(), func() {}); !errors.Is(err, errEnded) {
		t.Errorf("a call after the end: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := mailbox.New(0, errEnded).Call(gone, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who has left: %v", err)
	}
}
