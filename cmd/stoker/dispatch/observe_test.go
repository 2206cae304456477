package dispatch

import (
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job"
)

// says has a rank say something, at once.
func (h *hall) says(n int, said events.Rank) {
	said.Generation, said.Rank = h.e.Life.Generation, n
	h.beat(events.RankKey(h.e.key), events.Heartbeat{Replica: h.e.gang(said.Generation, 0).RankID(n), Rank: &said})
}

// again has the gang leave, with what it has saved, and come back with so many nodes; none: it waits for them.
func (h *hall) again(saved int64, nodes int) {
	life := h.e.Life
	life.Phase, life.Gang, life.Saved = job.Queued, nil, job.Saved{Step: saved, Generation: life.Generation}
	life.Generation++
	h.update(h.e, life, life.Generation)
	if nodes > 0 {
		l := scale.Ledger{Devices: h.Ledger.Newest().Devices}
		h.trains(nodes, life.Generation, &l)
	}
}

// One rank tells how far the work is, another that it has done a step: what the first has told stays.
func TestARankThatTellsStepsAloneTakesNothingBack(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{Within: functions.Duration(time.Hour)}), 3)
	loss := 2.5
	h.says(0, events.Rank{Step: 100, Percent: 10, ETASec: 900, Loss: &loss, ReportedAt: h.now})
	for _, step := range []int64{99, 100, 101} {
		h.now = h.now.Add(time.Second)
		h.says(1, events.Rank{Step: step, ReportedAt: h.now})
		if p := h.e.Progress; p.Step != max(100, step) || p.Percent != 10 || p.ETASec != 900 || p.Loss == nil || h.e.left() != float64(1000-p.Step) {
			t.Errorf("after step %d of another: %+v, %v left", step, p, h.e.left())
		}
	}
	h.says(2, events.Rank{Step: 50, Percent: 5, Diverged: true, ReportedAt: h.now})
	if p := h.e.Progress; p.Step != 101 || p.Percent != 10 || p.Diverged {
		t.Errorf("one that is behind counts: %+v", p)
	}
	h.says(0, events.Rank{Step: 110, Percent: 10, Diverged: true, ReportedAt: h.now})
	if p := h.e.Progress; p.Step != 110 || !p.Diverged || h.e.left() != 890 {
		t.Errorf("%+v, %v left", p, h.e.left())
	}
}

// What agents take for the time is compared with nobody else's.
func TestTheClocksOfNodesDoNotMatter(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{}), 2)
	h.says(0, events.Rank{Step: 100, Percent: 10, ReportedAt: h.now.Add(time.Hour)})
	h.says(1, events.Rank{Step: 200, Percent: 20, ReportedAt: h.now})
	if p := h.e.Progress; p.Step != 200 || p.Percent != 20 {
		t.Errorf("the other clock is behind: %+v", p)
	}
	h.again(100, 2)
	h.says(0, events.Rank{Step: 101, ReportedAt: h.now})
	if p := h.e.Progress; p.Step != 101 || p.Percent != 0 || p.Generation != 2 {
		t.Errorf("the next attempt: %+v", p)
	}
	h.says(0, events.Rank{Step: 90, ReportedAt: h.now.Add(-time.Second)})
	if p := h.e.Progress; p.Step != 101 {
		t.Errorf("an old report of the same rank: %+v", p)
	}
}

// A restart of the platform hears the last report once more.
func TestALossIsTakenOnce(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{}), 2)
	loss := 2.5
	for range 2 {
		for n := range 2 {
			h.says(n, events.Rank{Step: 100, Loss: &loss, ReportedAt: h.now})
		}
		h.e.ranks = map[int]*rank{}
	}
	if p := h.e.Progress; len(p.Losses) != 1 {
		t.Errorf("%v", p.Losses)
	}
}

// commits are the steps of the checkpoints that the workflow is to hear of.
func (h *hall) commits() (out []int64) {
	for _, ev := range h.e.pending {
		if ev.Kind == job.Commit {
			out = append(out, ev.Step)
		}
	}
	return out
}

func (h *hall) saves(n int, step int64) {
	h.says(n, events.Rank{Step: step, ReportedAt: h.now, Saved: &events.RankSaved{Path: "/ckpt", Step: step, At: h.now}})
}

// Ranks tell of their checkpoints in any order.
func TestTheFurthestCheckpointIsTold(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{}), 2)
	h.e.telling = true // the workflow is slow
	h.saves(0, 200)
	h.saves(1, 100)
	if got := h.commits(); !slices.Equal(got, []int64{200}) {
		t.Errorf("told %v, want 200", got)
	}
	h.now = h.now.Add(commitsEvery)
	h.saves(1, 300)
	if got := h.commits(); !slices.Equal(got, []int64{300}) {
		t.Errorf("told %v, want 300", got)
	}
}

// A checkpoint that follows another one within a second is told of when that is over.
func TestACheckpointIsToldOfSoon(t *testing.T) {
	h := newHall(t, elastic(functions.Goal{}), 1)
	h.e.telling = true
	h.saves(0, 100)
	h.e.pending = nil // the workflow has it
	h.now = h.now.Add(commitsEvery / 2)
	h.saves(0, 200)
	if got := h.commits(); got != nil {
		t.Errorf("told of %v at once", got)
	}
	h.now = h.now.Add(commitsEvery / 2)
	h.tick()
	if got := h.commits(); !slices.Equal(got, []int64{200}) {
		t.Errorf("told of %v, want 200", got)
	}
}
