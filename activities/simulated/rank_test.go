package simulated

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job/contract"
)

// gang starts rank 2 of generation 5, whose fate is f, and takes it to its barrier.
func gang(t *testing.T, f Fate) *observed {
	t.Helper()
	s := observe(Options{Fate: func(activities.ReplicaSpec, *rand.Rand) Fate { return f }})
	err := s.p.Start(t.Context(), activities.ReplicaSpec{
		ID: "a", Lease: scale.Lease{Epoch: 1, Node: "node-0"}, Gang: &contract.Place{Generation: 5, Rank: 2, CheckpointDir: "/ckpt"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(10 * time.Second)
	return s
}

func (s *observed) order(t *testing.T, op string, grace float64) {
	t.Helper()
	if err := s.Order("a", events.Control{Op: op, Generation: 5, GraceSeconds: grace}); err != nil {
		t.Fatal(err)
	}
}

// last is the last heartbeat.
func (s *observed) last() events.Heartbeat { return s.beats[len(s.beats)-1] }

func TestARankTrainsBehindItsBarrierUntilItIsDone(t *testing.T) {
	s := gang(t, Fate{Spawn: time.Second, Steps: 2, Finish: time.Minute})
	if hb := s.last(); hb.Phase != events.PhaseLoading || hb.Rank.Generation != 5 || hb.Rank.Rank != 2 || hb.Slots != 0 || !hb.Rank.Started.IsZero() {
		t.Errorf("at the barrier: %+v, rank %+v", hb, hb.Rank)
	}
	s.order(t, events.OpOpen, 0)
	s.clock.Advance(30 * time.Second)
	s.order(t, events.OpOpen, 0) // again: nothing
	if hb := s.last(); hb.Phase != events.PhaseReady || hb.Rank.Step != 60 || hb.Rank.Percent != 50 || hb.Rank.ETASec != 30 || hb.Rank.Saved != nil {
		t.Errorf("half way: %+v, rank %+v", hb, hb.Rank)
	}
	s.order(t, events.OpSave, 0)
	if saved := s.last().Rank.Saved; saved == nil || *saved != (events.RankSaved{Path: "/ckpt/step-60", Step: 60, At: s.clock.Now()}) {
		t.Errorf("saved %+v", saved)
	}
	s.clock.Advance(time.Hour)
	st := s.status("a")
	if st.State != activities.RunGone || st.Cause != "" || st.ExitCode != 0 || !st.Ended.Equal(epoch.Add(70*time.Second)) {
		t.Errorf("ended as %+v", st)
	}
	if r := st.Last.Rank; r.Percent != 100 || r.Step != 120 || r.End == nil || r.End.ExitCode != 0 || r.End.ByUs {
		t.Errorf("rank %+v, end %+v", r, r.End)
	}
	if got, want := s.phases("a"), []string{"loading@1s", "ready@10s", "exited@1m10s"}; !slices.Equal(got, want) {
		t.Errorf("phases %v, want %v", got, want)
	}
}

func TestARankThatIsToldToGo(t *testing.T) {
	for _, c := range []struct {
		name string
		fate Fate
		tell func(t *testing.T, s *observed)
		took time.Duration
		code int
		end  bool // its agent could tell
	}{
		{"saves and goes", Fate{Drain: 2 * time.Second}, func(t *testing.T, s *observed) { s.order(t, events.OpNotice, 30) }, 2 * time.Second, 75, true},
		{"is killed at the end of its grace", Fate{Deaf: true}, func(t *testing.T, s *observed) { s.order(t, events.OpNotice, 30) }, 30 * time.Second, 137, true},
		{"is killed earlier by a later notice", Fate{Deaf: true}, func(t *testing.T, s *observed) {
			s.order(t, events.OpNotice, 30)
			s.order(t, events.OpNotice, 5)
			s.order(t, events.OpNotice, 300)
		}, 5 * time.Second, 137, true},
		{"is stopped with a grace", Fate{Drain: 2 * time.Second}, func(t *testing.T, s *observed) {
			if err := s.p.Stop(t.Context(), "a", time.Minute); err != nil {
				t.Fatal(err)
			}
		}, 2 * time.Second, 75, true},
		{"is stopped at once", Fate{Drain: 2 * time.Second}, func(t *testing.T, s *observed) {
			if err := s.p.Stop(t.Context(), "a", 0); err != nil {
				t.Fatal(err)
			}
		}, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fate.Steps = 1
			s := gang(t, c.fate)
			s.order(t, events.OpOpen, 0)
			s.clock.Advance(time.Minute)
			told := s.clock.Now()
			c.tell(t, s)
			s.clock.Advance(time.Hour)
			st := s.status("a")
			if st.State != activities.RunGone || st.ExitCode != c.code || st.Ended.Sub(told) != c.took {
				t.Errorf("after %v: %+v", st.Ended.Sub(told), st)
			}
			end := st.Last.Rank.End
			if (end != nil) != c.end || c.end && (end.ExitCode != c.code || !end.ByUs || st.Cause != events.CauseDrained) {
				t.Errorf("cause %q, end %+v", st.Cause, end)
			}
			if saved := st.Last.Rank.Saved; (saved != nil) != (c.code == 75) || saved != nil && saved.Step != 62 {
				t.Errorf("saved %+v", saved)
			}
		})
	}
}

func TestANoticeBeforeTheBarrierEndsARank(t *testing.T) {
	s := gang(t, Fate{Drain: time.Minute, Deaf: true})
	s.order(t, events.OpNotice, 30)
	if st := s.status("a"); st.State != activities.RunGone || st.Cause != events.CauseDrained || !st.Last.Rank.End.ByUs || !st.Last.Rank.Started.IsZero() {
		t.Errorf("%+v, %+v", st, st.Last)
	}
}

func TestOrdersThatNoAgentTakes(t *testing.T) {
	s := gang(t, Fate{})
	s.start(t, "of a function")
	for _, id := range []string{"unknown", "of a function"} {
		if err := s.Order(id, events.Control{Op: events.OpOpen, Generation: 5}); !errors.Is(err, activities.ErrNoReplica) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, c := range []events.Control{{Op: events.OpOpen, Generation: 4}, {Op: "dance", Generation: 5}, {Op: events.OpSave, Generation: 5}} {
		if err := s.Order("a", c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	s.LoseNode("node-0")
	if err := s.Order("a", events.Control{Op: events.OpOpen, Generation: 5}); !errors.Is(err, activities.ErrNoReplica) {
		t.Errorf("on a lost node: %v", err)
	}
}
