package kubetest

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Patience bounds every wait for something that must happen. It asserts no speed: it is there so that a test that
// would hang says on what.
const Patience = 4 * time.Minute

// pollEvery is the pause between two looks at a condition that does not announce itself.
const pollEvery = 20 * time.Millisecond

// until looks at a condition until it holds. Its error says what was waited for and what was seen last.
func until(ctx context.Context, what string, cond func(context.Context) (ok bool, saw any)) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ok, saw := cond(ctx)
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w after %s at most; last seen: %+v", what, context.Cause(ctx), Patience, saw)
		}
	}
}

// Eventually waits for a condition that must come to hold, and fails the test with what was seen last if it does not.
func Eventually(t testing.TB, what string, cond func(context.Context) (ok bool, saw any)) {
	t.Helper()
	if err := until(t.Context(), what, cond); err != nil {
		t.Fatal(err)
	}
}
