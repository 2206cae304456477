package scale

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// TestWakeCountsThoseToCome: only where a start takes longer than the SLO allows, only what comes after
// the first look, and no longer than it helps.
func TestWakeCountsThoseToCome(t *testing.T) {
	for _, c := range []struct {
		name        string
		wait, after time.Duration
		first, then int
		want        [2]int // the least and the most
	}{
		{"a steady burst", 5 * time.Second, time.Second, 1, 21, [2]int{140, 280}}, // at most 14 s at 20/s
		{"a burst looked at early", 5 * time.Second, 100 * time.Millisecond, 1, 3, [2]int{0, 0}},
		{"a batch", 5 * time.Second, time.Second, 100, 100, [2]int{0, 0}},
		{"a few", 5 * time.Second, time.Second, 1, 4, [2]int{0, 0}},
		{"starts that are in time", 30 * time.Second, time.Second, 1, 21, [2]int{0, 0}},
		{"when only those to come later are helped", 5 * time.Second, 16 * time.Second, 1, 321, [2]int{0, 0}},
		{"fewer than at first, since some have expired", 5 * time.Second, time.Second, 21, 1, [2]int{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := Spec{Revision: "a", Max: 100, Slots: 8, Wait: c.wait, WaitAt: 0.99, KeepAlive: AutoKeepAlive, GPUs: 1}
			starting := []Replica{{ID: "r1", Revision: "a", Phase: Starting, Since: origin}}
			s, _ := Decide(spec, State{}, waiting(c.first), origin)
			obs := waiting(c.then)
			obs.Replicas = starting
			s, d := Decide(spec, s, obs, origin.Add(c.after))
			if got := d.Inputs.Coming; got < c.want[0] || got > c.want[1] {
				t.Fatalf("%d to come, want %v", got, c.want)
			}
			obs.Replicas = []Replica{{ID: "r1", Revision: "a", Phase: Ready, Since: origin.Add(c.after)}}
			if s, d = Decide(spec, s, obs, origin.Add(c.after+time.Second)); d.Inputs.Coming != 0 || s.Wake != (Wake{}) {
				t.Fatalf("%d to come, %+v once a replica is ready", d.Inputs.Coming, s.Wake)
			}
		})
	}
}

// TestWakeIsBounded: whatever a store held and whatever comes, the number is one that can be reckoned with.
func TestWakeIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := State{Wake: Wake{
			At:   origin.Add(time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "at"))),
			Load: rapid.Int().Draw(t, "load"),
		}}
		spec := Spec{Revision: "a", Max: 100, Slots: 1, Wait: time.Second, WaitAt: 0.99, KeepAlive: AutoKeepAlive}
		_, d := Decide(spec, s, waiting(rapid.Int().Draw(t, "pending")), origin)
		if d.Inputs.Coming < 0 || d.Inputs.Coming > maxCount || d.Target > spec.Max {
			t.Fatalf("%d to come, target %d", d.Inputs.Coming, d.Target)
		}
	})
}

// waiting is an observation of requests that wait.
func waiting(n int) Observation {
	return Observation{Pending: map[functions.Class]int{functions.Standard: n}, FreeGPUs: UnknownGPUs}
}
