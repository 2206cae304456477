package activities_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

func TestStartsComeBeforeWhatFollowsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b activities.Burst
		one, two := functions.Key{Name: "one"}, functions.Key{Name: "two"}
		b.Coming(one)
		b.Coming(two)
		b.Begun(one)
		begin := time.Now()
		time.AfterFunc(10*time.Millisecond, func() { b.Begun(two) })
		b.Yield(t.Context(), activities.YieldMax)
		if waited := time.Since(begin); waited != 10*time.Millisecond {
			t.Errorf("went on after %v, want it right after the other start", waited)
		}
		b.Yield(t.Context(), activities.YieldMax) // nothing is coming: at once
		if waited := time.Since(begin); waited != 10*time.Millisecond {
			t.Errorf("waited for nothing until %v", waited)
		}
	})
}

func TestAStartThatDoesNotComeHoldsUpNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b activities.Burst
		b.Coming(key)
		begin := time.Now()
		b.Yield(t.Context(), activities.YieldMax)
		if waited := time.Since(begin); waited != activities.YieldMax {
			t.Errorf("waited %v, want %v", waited, activities.YieldMax)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		b.Yield(ended, activities.YieldMax)
		if waited := time.Since(begin); waited != activities.YieldMax {
			t.Errorf("waited until %v although the caller had left", waited)
		}
	})
}

// TestWhoeverStartsTellsTheOthers: also when nothing could be started.
func TestWhoeverStartsTellsTheOthers(t *testing.T) {
	away := errors.New("connection refused")
	for name, fate := range map[string]simulated.Fate{"started": {}, "refused": {Refuse: activities.ErrNoCommand}, "away": {Refuse: away}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, simulated.Options{GPUs: 1, Fate: func(activities.ReplicaSpec, *rand.Rand) simulated.Fate { return fate }})
			r.Burst = &activities.Burst{}
			r.Burst.Coming(key)
			_, _ = r.StartReplicas(t.Context(), ask("a"))
			begin := time.Now()
			r.Burst.Yield(t.Context(), activities.YieldMax)
			if waited := time.Since(begin); waited >= activities.YieldMax {
				t.Error("its start still counts as coming")
			}
		})
	}
}

// noJobs has no record of any job.
type noJobs struct{}

func (noJobs) Get(context.Context, string) (events.JobRecord, uint64, error) {
	return events.JobRecord{}, 0, events.ErrNotFound
}

func TestClaimsComeBeforeTheStartsOfGangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b activities.Burst
		g := activities.Gangs{Claims: &b, Jobs: noJobs{}}
		b.Coming(key)
		begin := time.Now()
		time.AfterFunc(10*time.Millisecond, func() { b.Begun(key) })
		if _, err := g.StartGang(t.Context(), activities.GangStart{}); !errors.Is(err, events.ErrNotFound) {
			t.Error(err)
		}
		if waited := time.Since(begin); waited != 10*time.Millisecond {
			t.Errorf("started after %v, want it right after the claim", waited)
		}
		b.Coming(key) // and is never made
		if _, err := g.StartGang(t.Context(), activities.GangStart{}); !errors.Is(err, events.ErrNotFound) {
			t.Error(err)
		}
		if waited := time.Since(begin); waited != 10*time.Millisecond+activities.ClaimYieldMax {
			t.Errorf("waited until %v", waited)
		}
	})
}
