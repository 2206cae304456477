package harness

import (
	"context"
	"testing"
	"time"
)

// Patience bounds every wait for something that must happen. It asserts no speed: it is there so that a test that
// would hang says on what.
const Patience = 4 * time.Minute

// pollEvery is the pause between two looks at a condition that does not announce itself.
const pollEvery = 50 * time.Millisecond

// Eventually waits until cond holds, and fails the test with what cond says last if that is not within Patience.
func Eventually(t testing.TB, what string, cond func() (ok bool, saw any)) {
	t.Helper()
	EventuallyWithin(t, Patience, what, cond)
}

// EventuallyWithin is [Eventually] with a patience of its own.
func EventuallyWithin(t testing.TB, patience time.Duration, what string, cond func() (ok bool, saw any)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ok, saw := cond()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s; last seen: %+v", what, patience, saw)
		}
	}
}

// Hold checks that cond stays true for a while: for what must not happen.
func Hold(t testing.TB, d time.Duration, what string, cond func() (ok bool, saw any)) {
	t.Helper()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, saw := cond(); !ok {
			t.Fatalf("%s: no longer, saw: %+v", what, saw)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}
