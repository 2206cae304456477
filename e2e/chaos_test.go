package e2e

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"stoker.dev/stoker/e2e/chaos"
	"stoker.dev/stoker/e2e/history"
)

// Flags of the long run; see `go tool task chaos`.
var (
	chaosSeed  = flag.Uint64("chaos.seed", 0, "seed of the schedule; 0 draws one")
	chaosLate  = flag.Duration("chaos.late", chaos.Late, "how long after its deadline a request may have its record, in the long run")
	chaosKills = flag.Int("chaos.kills", 0, "kills in all; 0 is the short run of the test command")
)

// short is what the test command runs.
var short = chaos.Size{Kills: 57, Stops: 3, Row: 2, Wipes: 1, Rarely: true, Pause: 300 * time.Millisecond, Freeze: 8 * time.Second}

// long is of so many kills. Of a thousand, fifty are restarts of the platform in a row, and five go with a deleted
// database; fifty times a process is stopped for twenty seconds instead.
func long(kills int) chaos.Size {
	s := chaos.Size{Row: kills / 20, Wipes: max(kills/200, 1), Stops: kills / 20, Pause: 600 * time.Millisecond, Freeze: 20 * time.Second}
	s.Kills = max(kills-s.Row-s.Wipes, 1)
	return s
}

// TestChaos kills and stops platform, agents and model servers under steady load from three classes and twenty
// functions, and proves promises 1, 4 and 5 from what everybody wrote down.
func TestChaos(t *testing.T) {
	t.Parallel()
	o := chaos.Options{
		Seed: *chaosSeed, Size: short, GPUs: 8, Pace: 100 * time.Millisecond, Deadline: 30 * time.Second,
		Late: 4 * chaos.Late, // beside other tests, with the race detector, on few cores: not a measurement
	}
	if *chaosKills > 0 {
		o.Size, o.Late, o.Pace = long(*chaosKills), *chaosLate, 70*time.Millisecond
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	dir, err := filepath.Abs(filepath.Join(repoRoot, "build", "chaos", fmt.Sprint(o.Seed)))
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = dir
	s := chaos.Run(t, o)
	enough(t, o.Size, s)
}

// enough fails a run that proves little because little happened.
func enough(t *testing.T, size chaos.Size, s history.Summary) {
	t.Helper()
	kills := s.Faults["kill platform"] + s.Faults["kill agent"] + s.Faults["kill server"]
	if kills < size.Total()*9/10 {
		t.Errorf("%d kills, want about %d", kills, size.Total())
	}
	for _, class := range []string{"interactive", "standard", "batch"} {
		if s.Requests[class] < size.Total() {
			t.Errorf("%d requests of class %s under %d kills", s.Requests[class], class, size.Total())
		}
	}
	if s.Records["ok"] < size.Total() {
		t.Errorf("%d requests ended ok under %d kills", s.Records["ok"], size.Total())
	}
	if s.Replicas["drained"] == 0 || s.Looks < size.Total() {
		t.Errorf("%d replicas were let go, and there are %d looks at the ledger", s.Replicas["drained"], s.Looks)
	}
}
