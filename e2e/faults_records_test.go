package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/functions"
)

// TestFullRecordsHoldRequestsBack asks for more than the terminal records have room for: what is done waits until the
// retention of others is over, nothing is lost or run twice for it, and the operator is told.
func TestFullRecordsHoldRequestsBack(t *testing.T) {
	t.Parallel()
	const asked = 9
	log := filepath.Join(t.TempDir(), "up.log")
	p := harness.Up(t, harness.Options{Log: log, Args: []string{"--records", "3"}})
	f := p.Function("busy")
	f.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 2}
	f.Spec.Results.Retention = functions.Duration(6 * time.Second) // longer than the pause between two looks at the room
	p.Apply(f)
	js := p.JetStream()
	ids := map[string]bool{}
	for range asked {
		ids[p.MustPublish(js, "busy", functions.Standard, "x")] = true
	}
	told := func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	harness.Eventually(t, "the operator to be told", func() (bool, any) { return strings.Contains(told(), "the terminal records are full"), told() })
	contains(t, "the log", told(), "spec.results.retention", "--records", "3 of 3")
	contains(t, "/metrics", page(t, p, "/metrics"), `stoker_records{what="limit"} 3`)
	harness.Eventually(t, "every request to have run", func() (bool, any) {
		ran := map[string]int{}
		for _, e := range p.Books("busy") {
			if e.What == "end" && ids[e.ID] {
				ran[e.ID]++
			}
		}
		for id, n := range ran {
			if n > 1 {
				t.Fatalf("%s ran %d times", id, n)
			}
		}
		return len(ran) == asked, ran
	})
	harness.Eventually(t, "the queue to be empty", func() (bool, any) {
		f, err := p.API.Get(t.Context(), harness.Key("busy"))
		waiting := f.InFlight
		for _, n := range f.Pending {
			waiting += n
		}
		return err == nil && waiting == 0, f
	})
}
