package scale

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAStockKnowsWhatItsLedgerKnows asks both the same, before and after the ledger changed, each
// question twice.
func TestAStockKnowsWhatItsLedgerKnows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Stock
		l := &Ledger{Devices: []Device{
			{ID: "0", Node: "a", Product: "H100", Memory: 80, Healthy: true}, {ID: "1", Node: "a", Product: "H100", Memory: 80, Healthy: true},
			{ID: "0", Node: "b", Product: "A10", Memory: 24, Healthy: true}, {ID: "1", Node: "b", Product: "A10", Memory: 24, Foreign: "x", Healthy: true},
		}}
		for i := range rapid.IntRange(1, 3).Draw(t, "changes") {
			for range 2 {
				if got, want := s.Of(l).Holders(), l.Holders(); !reflect.DeepEqual(got, want) {
					t.Fatalf("holders %v, want %v", got, want)
				}
				for _, ask := range []Ask{{}, {GPUs: 1}, {GPUs: 2}, {GPUs: 1, Memory: 50}, {GPUs: 1, Products: []string{"a10"}}, {GPUs: 1, Products: []string{"a10", "h100"}}} {
					if got, want := s.Of(l).Fit(ask), l.Fit(ask); got != want {
						t.Fatalf("%+v fits %d times, want %d", ask, got, want)
					}
				}
			}
			next := *l
			if _, err := next.Reserve(Ask{Holder: string(rune('p' + i)), Owner: "o", GPUs: rapid.IntRange(0, 1).Draw(t, "gpus")}, time.Minute, origin); err != nil {
				t.Fatal(err)
			}
			l = &next
		}
		if s.Of(l).Capacity() != len(l.Devices) {
			t.Fatal("the capacity is not that of the ledger")
		}
	})
}
