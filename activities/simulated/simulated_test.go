package simulated

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/providertest"
	"stoker.dev/stoker/functions"
)

func TestConformance(t *testing.T) {
	providertest.Run(t, func(t *testing.T) *providertest.Harness {
		w := NewWorld(Options{GPUs: 3, Seed: 1, Fate: conform})
		return &providertest.Harness{
			Provider: New(w),
			Runtime: func(b providertest.Behaviour) functions.Runtime {
				return functions.Runtime{Local: &functions.Local{Command: []string{string(b)}}}
			},
			Checkpoints: "/checkpoints",
			Restart:     func(*testing.T) activities.Provider { return New(w) },
			SetLost:     func(lost bool) { w.setLost("node-0", lost) },
			Hold:        w.Hold,
		}
	})
}

// conform makes a replica do what the suite asks for, after a short while.
func conform(spec activities.ReplicaSpec, dice *rand.Rand) Fate {
	f := Fate{Spawn: Uniform(dice, 0, 3*time.Millisecond), Load: time.Millisecond, Drain: time.Millisecond, ExitCode: providertest.CrashCode}
	for i := range providertest.OutputLines {
		f.Output = append(f.Output, fmt.Sprintf("line %d", i+1))
	}
	switch providertest.Behaviour(spec.Spec.Runtime.Local.Command[0]) {
	case providertest.Crashes:
		f.Crash = time.Millisecond
	case providertest.Deaf:
		f.Deaf = true
	case providertest.Serves, providertest.Daemonizes: // a fate has no processes to leave behind
	}
	return f
}
