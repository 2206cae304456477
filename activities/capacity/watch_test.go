package capacity

import (
	"testing"
	"time"

	"stoker.dev/stoker/scale"
)

// TestWatchSeesEveryLedgerBeforeWhoeverAsked: what is reserved and released was watched by the time the answer is there.
func TestWatchSeesEveryLedgerBeforeWhoeverAsked(t *testing.T) {
	w := opened(t, broker(t), 2)
	var last scale.Ledger
	var at time.Time
	w.Watch(func(l scale.Ledger, now time.Time) { last, at = l, now })
	if _, err := w.Reserve(t.Context(), []scale.Ask{ask("r")}, time.Minute); err != nil {
		t.Fatal(err)
	}
	if x, found := last.Lease("r"); !found || x.State != scale.Reserved || at.IsZero() {
		t.Errorf("watched %+v at %v", last, at)
	}
	if err := w.Release(t.Context(), "r", "drained"); err != nil {
		t.Fatal(err)
	}
	if last.Usage().Free != 2 {
		t.Errorf("released, watched %+v", last.Usage())
	}
}
