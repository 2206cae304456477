package simulated

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// observed is a world in simulated time whose heartbeats are kept.
type observed struct {
	*World
	p     *Provider
	clock *Manual
	beats []events.Heartbeat
}

func observe(o Options) *observed {
	s := &observed{clock: NewManual(epoch)}
	o.Clock = s.clock
	o.Beat = func(h events.Heartbeat) { s.beats = append(s.beats, h) }
	s.World = NewWorld(o)
	s.p = New(s.World)
	return s
}

func (s *observed) start(t *testing.T, id string) {
	t.Helper()
	err := s.p.Start(t.Context(), activities.ReplicaSpec{
		ID: id, Revision: "r1", Lease: scale.Lease{Epoch: 1, Node: "node-0"},
		Spec: functions.Spec{Scaling: functions.Scaling{Slots: 4}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// phases are the phases a replica told, each once, with when.
func (s *observed) phases(id string) []string {
	var out []string
	var last events.Phase
	for _, h := range s.beats {
		if h.Replica == id && h.Phase != last {
			last = h.Phase
			out = append(out, fmt.Sprintf("%s@%v", h.Phase, h.At.Sub(epoch)))
		}
	}
	return out
}

func (s *observed) status(id string) activities.ReplicaStatus {
	for _, r := range s.board.List() {
		if r.ID == id {
			return r
		}
	}
	return activities.ReplicaStatus{}
}

func TestALifeInSimulatedTime(t *testing.T) {
	s := observe(Options{Fate: func(activities.ReplicaSpec, *rand.Rand) Fate {
		return Fate{Spawn: time.Second, Load: 9 * time.Second, Crash: time.Minute, ExitCode: 3, Output: []string{"loading", "boom"}}
	}})
	s.start(t, "a")
	if st := s.status("a"); st.State != activities.RunStarting {
		t.Errorf("at first %s", st.State)
	}
	s.clock.Advance(time.Second)
	if st := s.status("a"); st.State != activities.RunRunning {
		t.Errorf("spawned, and %s", st.State)
	}
	s.clock.Advance(2 * time.Minute)
	if got, want := s.phases("a"), []string{"loading@1s", "ready@10s", "exited@1m10s"}; !slices.Equal(got, want) {
		t.Errorf("phases %v, want %v", got, want)
	}
	st := s.status("a")
	if st.State != activities.RunGone || st.Cause != events.CauseCrashed || st.ExitCode != 3 || st.Message != "loading\nboom" {
		t.Errorf("ended as %+v", st)
	}
	if !st.Ended.Equal(epoch.Add(70 * time.Second)) {
		t.Errorf("ended at %v", st.Ended)
	}
	n := len(s.beats)
	if n < 69 || n > 73 { // once a second, and at each change
		t.Errorf("%d heartbeats in 69 s", n)
	}
	last := s.beats[n-1]
	if last.Phase != events.PhaseExited || last.Slots != 4 || !last.Receipt.Ready.Equal(epoch.Add(10*time.Second)) {
		t.Errorf("the last heartbeat: %+v", last)
	}
	s.clock.Advance(time.Hour)
	if len(s.beats) != n || len(s.clock.timers) != 0 {
		t.Errorf("%d heartbeats after the end, %d timers left", len(s.beats)-n, len(s.clock.timers))
	}
}

func TestNeverReady(t *testing.T) {
	s := observe(Options{Fate: func(activities.ReplicaSpec, *rand.Rand) Fate { return Fate{Load: -1} }})
	s.start(t, "a")
	s.clock.Advance(neverReady - time.Second)
	if st := s.status("a"); st.State != activities.RunRunning {
		t.Errorf("before its timeout %s", st.State)
	}
	s.clock.Advance(time.Second)
	if st := s.status("a"); st.Cause != events.CauseNeverReady {
		t.Errorf("after its timeout %+v", st)
	}
}

func TestARefusedStartLeavesNothing(t *testing.T) {
	refusal := errors.New("no")
	s := observe(Options{Fate: func(activities.ReplicaSpec, *rand.Rand) Fate { return Fate{Refuse: refusal} }})
	err := s.p.Start(t.Context(), activities.ReplicaSpec{ID: "a"})
	if !errors.Is(err, refusal) || len(s.board.List()) != 0 || len(s.replicas) != 0 {
		t.Errorf("%v, %+v", err, s.board.List())
	}
}

// TestALostNodeGoesOnUnseen stops one replica and lets another crash while nobody can see.
func TestALostNodeGoesOnUnseen(t *testing.T) {
	s := observe(Options{Fate: func(r activities.ReplicaSpec, _ *rand.Rand) Fate {
		if r.ID == "crashes" {
			return Fate{Crash: time.Minute}
		}
		return Fate{Drain: time.Second}
	}})
	s.start(t, "crashes")
	s.start(t, "stopped")
	s.LoseNode("node-0")
	n := len(s.beats)
	if err := s.p.Stop(t.Context(), "stopped", time.Hour); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(2 * time.Minute)
	if len(s.beats) != n {
		t.Errorf("%d heartbeats came from a node out of reach", len(s.beats)-n)
	}
	for _, id := range []string{"crashes", "stopped"} {
		if st := s.status(id); st.State != activities.RunUnknown || st.Cause != "" {
			t.Errorf("%s: %+v", id, st)
		}
	}
	s.ReturnNode("node-0")
	s.clock.Advance(time.Second)
	if st := s.status("crashes"); st.Cause != events.CauseCrashed || !st.Ended.Equal(epoch.Add(time.Minute)) {
		t.Errorf("crashed unseen: %+v", st)
	}
	if st := s.status("stopped"); st.Cause != events.CauseDrained || !st.Ended.Equal(s.clock.Now()) {
		t.Errorf("stopped unseen: %+v", st)
	}
}

func TestSameSeedSameWorld(t *testing.T) {
	run := func(seed uint64) []string {
		s := observe(Options{Seed: seed, Every: -1, Fate: func(_ activities.ReplicaSpec, d *rand.Rand) Fate {
			return Fate{Load: Uniform(d, time.Second, time.Minute), Crash: Uniform(d, time.Second, time.Minute)}
		}})
		var out []string
		for i := range 20 {
			s.start(t, fmt.Sprint("r", i))
		}
		s.clock.Advance(time.Hour)
		for i := range 20 {
			out = append(out, s.phases(fmt.Sprint("r", i))...)
		}
		return out
	}
	one, again, other := run(1), run(1), run(2)
	if !slices.Equal(one, again) {
		t.Error("the same seed made two worlds")
	}
	if slices.Equal(one, other) {
		t.Error("two seeds made the same world")
	}
}

func TestTheHooks(t *testing.T) {
	var started []string
	s := &observed{clock: NewManual(epoch)}
	s.World = NewWorld(Options{
		Clock:   s.clock,
		OnStart: func(r activities.ReplicaSpec) { started = append(started, r.ID) },
		Fill:    func(h *events.Heartbeat) { h.InFlight = 2 },
		Beat:    func(h events.Heartbeat) { s.beats = append(s.beats, h) },
	})
	s.p = New(s.World)
	s.start(t, "a")
	s.start(t, "a")
	if !slices.Equal(started, []string{"a", "a"}) {
		t.Errorf("starts seen: %v", started)
	}
	if len(s.beats) == 0 || s.beats[0].InFlight != 2 {
		t.Errorf("heartbeats: %+v", s.beats)
	}
	s.Kill("a")
	if st := s.status("a"); st.Cause != events.CauseCrashed {
		t.Errorf("killed: %+v", st)
	}
	s.Sicken("node-0-gpu-3", false)
	if inv := s.inventory(); inv.Devices[3].Healthy || !inv.Devices[2].Healthy {
		t.Errorf("inventory: %+v", inv)
	}
}
