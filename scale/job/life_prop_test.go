package job_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// anySpec draws what of a manifest the life of a job depends on.
func anySpec(t *rapid.T) functions.JobSpec {
	var j functions.TrainingJob
	s := &j.Spec
	span := func(label string) functions.Duration {
		return functions.Duration(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, time.Hour}).Draw(t, label))
	}
	if rapid.Bool().Draw(t, "elastic") {
		s.Elastic = functions.Elastic{Min: 1, Max: 3}
	} else {
		s.Resources.Nodes = rapid.IntRange(1, 3).Draw(t, "nodes")
	}
	s.Resources.GPUsPerNode = rapid.IntRange(0, 8).Draw(t, "gpus")
	s.Preemption = functions.Preemption{Preemptible: rapid.Bool().Draw(t, "preemptible"), Grace: span("grace"), MinRuntime: span("minRuntime")}
	s.Retry.UserErrors = rapid.IntRange(0, 3).Draw(t, "user errors")
	s.Retry.InfraErrors = rapid.IntRange(0, 3).Draw(t, "infra errors")
	s.QueueTimeout, s.MaxRuntime, s.Deadline = span("queueTimeout"), span("maxRuntime"), span("deadline")
	s.Budget.MaxGPUHours = rapid.SampledFrom([]functions.Quantity{"", "0.001", "1"}).Draw(t, "GPU hours")
	return functions.DefaultJob(j).Spec
}

// anyEvent draws an event of this generation or of one near by, which may make no sense.
func anyEvent(t *rapid.T, s job.State) job.Event {
	kinds := []job.Kind{
		job.Enqueued, job.Refused, job.Admit, job.Admit, job.Place, job.Place, job.Unplace, job.Arrive, job.Arrive, job.Arrive, job.Progress, job.SaveBegan,
		job.Commit, job.End, job.End, job.End, job.Silence, job.Heard, job.Stuck, job.Leave, job.BudgetOut, job.Cancel, job.Pause, job.Resume, job.Resume, job.Save, job.Tick, job.Tick,
	}
	e := job.Event{
		Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Generation: s.Generation, Rank: rapid.IntRange(-1, 3).Draw(t, "rank"), Nodes: rapid.IntRange(0, 4).Draw(t, "nodes"),
		Cause: rapid.SampledFrom(job.Causes()).Draw(t, "cause"), Step: rapid.Int64Range(0, 5).Draw(t, "step"), Done: rapid.IntRange(0, 9).Draw(t, "done") == 0,
	}
	if rapid.IntRange(0, 5).Draw(t, "stale") == 0 {
		e.Generation += uint64(rapid.IntRange(0, 2).Draw(t, "generation")) - 1
	}
	if e.Kind == job.End && rapid.IntRange(0, 9).Draw(t, "evidence") > 0 {
		e.Evidence = anyEvidence(t, e.Rank)
	}
	return e
}

// holders follows the commands as the ledger would: which generation holds GPUs, and which waits.
type holders struct {
	bound, queued uint64 // 0: none
	released      uint64 // the newest
	killed        uint64 // the newest
}

func (h *holders) apply(c job.Command) error {
	switch c.Do {
	case job.Enqueue:
		if h.queued != 0 || h.bound != 0 {
			return fmt.Errorf("%d is queued while %d waits and %d holds GPUs", c.Generation, h.queued, h.bound)
		}
		if c.Generation <= h.released {
			return fmt.Errorf("%d is queued and was released before", c.Generation)
		}
		h.queued = c.Generation
	case job.Dequeue:
		if h.queued != c.Generation {
			return fmt.Errorf("%d leaves the queue, %d is in it", c.Generation, h.queued)
		}
		h.queued = 0
	case job.Bind:
		if h.queued != c.Generation || h.bound != 0 {
			return fmt.Errorf("%d is bound while %d waits and %d holds GPUs", c.Generation, h.queued, h.bound)
		}
		h.queued, h.bound = 0, c.Generation
	case job.Release:
		if h.bound != c.Generation {
			return fmt.Errorf("%d is released, %d holds GPUs", c.Generation, h.bound)
		}
		h.bound, h.released = 0, c.Generation
	default:
		if c.Do == job.Kill {
			if h.killed == c.Generation {
				return fmt.Errorf("%d is killed twice", c.Generation)
			}
			h.killed = c.Generation
		}
		if h.bound != c.Generation {
			return fmt.Errorf("%s of %d, and %d holds GPUs", c.Do, c.Generation, h.bound)
		}
	}
	return nil
}

// Whatever happens in whatever order: terminal is terminal, one generation holds GPUs at most and
// is released before the next, stale events change nothing, budgets are kept, what is unreachable
// is not failed, and the state survives being written down.
func TestLifeIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, now := anySpec(t), origin
		s, commands := job.New(now)
		var h holders
		for _, c := range commands {
			if err := h.apply(c); err != nil {
				t.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Second), int64(10*time.Minute)).Draw(t, "passes")))
			e := anyEvent(t, s)
			before := written(t, s)
			next, commands, err := job.Step(spec, s, e, now)
			if after := written(t, s); before != after {
				t.Fatalf("%+v changed its argument\nfrom %s\nto   %s", e, before, after)
			}
			if err != nil && (len(commands) > 0 || written(t, next) != before) {
				t.Fatalf("%+v was refused and changed something: %v", e, err)
			}
			checkStep(t, spec, s, next, e, commands)
			for _, c := range commands {
				if err := h.apply(c); err != nil {
					t.Fatalf("%+v in %s: %v", e, s.Phase, err)
				}
			}
			if holds := h.bound != 0; holds != next.Phase.Holds() || holds != (next.Gang != nil) {
				t.Fatalf("%s: bound %d, gang %+v", next.Phase, h.bound, next.Gang)
			}
			if waits := h.queued != 0; waits != (next.Phase == job.Queued || next.Phase == job.Validated) {
				t.Fatalf("%s: queued %d", next.Phase, h.queued)
			}
			s = next
		}
	})
}

func checkStep(t *rapid.T, spec functions.JobSpec, s, next job.State, e job.Event, commands []job.Command) {
	same := written(t, s) == written(t, next) && len(commands) == 0
	switch {
	case s.Phase.Terminal() && !same:
		t.Fatalf("left its end %s by %+v: %s, %v", s.Phase, e, next.Phase, commands)
	case e.Generation != s.Generation && e.Kind != job.Refused && e.Kind != job.BudgetOut && e.Kind != job.Cancel && e.Kind != job.Pause && e.Kind != job.Resume && e.Kind != job.Save && e.Kind != job.Tick && !same:
		t.Fatalf("%+v of another generation than %d changed something", e, s.Generation)
	case (e.Kind == job.Silence || e.Kind == job.Heard) && (s.Phase != next.Phase || s.Used != next.Used || len(commands) > 0):
		t.Fatalf("%+v: unreachable is not failed", e)
	case next.Used.User < s.Used.User || next.Used.User > spec.Retry.UserErrors || next.Used.Infra < s.Used.Infra || next.Used.Infra > spec.Retry.InfraErrors:
		t.Fatalf("%+v: used %+v of %+v", e, next.Used, spec.Retry)
	case next.Used.Ran < s.Used.Ran || next.Used.GPUSeconds < s.Used.GPUSeconds:
		t.Fatalf("%+v: times run backwards, %+v to %+v", e, s.Used, next.Used)
	case next.Generation < s.Generation || next.Generation > s.Generation+1:
		t.Fatalf("%+v: generation %d to %d", e, s.Generation, next.Generation)
	case next.Phase.Terminal() && !job.Next(spec, next).IsZero():
		t.Fatalf("waits for a timer at its end %s", next.Phase)
	}
}

// written is a state as a workflow carries it; reading it back gives the same.
func written(t *rapid.T, s job.State) string {
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again job.State
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, s) {
		t.Fatalf("reads back as %+v, not %+v", again, s)
	}
	return string(text)
}

// A timer that was due is gone once it was told of: whoever sleeps until Next never spins.
func TestTimersAreGoneOnceDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, now := anySpec(t), origin
		s, _ := job.New(now)
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "passes")))
			s, _, _ = job.Step(spec, s, anyEvent(t, s), now)
		}
		const timers = 4 // of one state, one after another
		for range timers {
			due := job.Next(spec, s)
			if due.IsZero() {
				return
			}
			if due.After(now) {
				now = due
			}
			s, _, _ = job.Step(spec, s, job.Event{Kind: job.Tick}, now)
		}
		if due := job.Next(spec, s); !due.IsZero() && !due.After(now) {
			t.Fatalf("%s: still due at %v after %d ticks, now %v", s.Phase, due, timers, now)
		}
	})
}

// In a world that answers every command, a job comes to its end: with as many failed attempts as
// its budgets allow and one more, whoever is to blame for each.
func TestEveryJobEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{spec: anySpec(t), now: origin, preemptions: rapid.IntRange(0, 3).Draw(t, "preemptions")}
		w.spec.Deadline, w.spec.QueueTimeout = 0, 0
		var todo []job.Command
		w.state, todo = job.New(w.now)
		const most = 2000
		for n := 0; !w.state.Phase.Terminal(); n++ {
			if n > most {
				t.Fatalf("no end after %d steps: %+v", n, w.state)
			}
			if len(todo) == 0 {
				w.now = job.Next(w.spec, w.state)
				if w.now.IsZero() {
					t.Fatalf("waits for nothing in %s: %+v", w.state.Phase, w.state)
				}
				todo = w.tell(t, job.Event{Kind: job.Tick})
				continue
			}
			todo = append(todo[1:], w.carryOut(t, todo[0])...)
		}
		if most := w.spec.Retry.UserErrors + w.spec.Retry.InfraErrors + 1 + w.preempted; w.state.Attempts > most {
			t.Fatalf("%d attempts, at most %d", w.state.Attempts, most)
		}
	})
}

// world answers commands.
type world struct {
	spec                   functions.JobSpec
	state                  job.State
	now                    time.Time
	preemptions, preempted int
}

func (w *world) tell(t *rapid.T, e job.Event) []job.Command {
	e.Generation = w.state.Generation
	next, commands, err := job.Step(w.spec, w.state, e, w.now)
	if err != nil {
		t.Fatalf("%+v in %s: %v", e, w.state.Phase, err)
	}
	w.state = next
	return commands
}

// carryOut does what a command asks for and tells what came of it.
func (w *world) carryOut(t *rapid.T, c job.Command) (next []job.Command) {
	w.now = w.now.Add(100 * time.Millisecond)
	switch c.Do {
	case job.Enqueue:
		w.tell(t, job.Event{Kind: job.Enqueued})
		sizes := w.spec.Sizes()
		next = w.tell(t, job.Event{Kind: job.Admit, Nodes: sizes[rapid.IntRange(0, len(sizes)-1).Draw(t, "size")]})
	case job.Bind:
		next = w.tell(t, job.Event{Kind: job.Place})
	case job.Start:
		for rank := range w.state.Gang.Nodes {
			next = append(next, w.tell(t, job.Event{Kind: job.Arrive, Rank: rank})...)
		}
	case job.Open:
		if w.preemptions > 0 {
			w.preemptions, w.preempted = w.preemptions-1, w.preempted+1
			return w.tell(t, job.Event{Kind: job.Leave, Cause: job.CauseRecalled})
		}
		e := anyEvidence(t, 0)
		e.Ended = w.now
		next = w.tell(t, job.Event{Kind: job.End, Evidence: e})
		if e.ExitCode == 0 && w.state.Phase.Trains() {
			next = append(next, w.goneAll(t, &job.Evidence{Ended: w.now})...)
		}
	case job.Notify:
		next = w.goneAll(t, &job.Evidence{Ended: w.now, ExitCode: 75})
	case job.Kill:
		next = w.goneAll(t, &job.Evidence{Ended: w.now, Signal: 9, Sender: job.SenderPlatform})
	case job.Dequeue, job.SaveNow, job.Release: // nobody answers these
	}
	return next
}

// goneAll ends every rank that is still there in the same way.
func (w *world) goneAll(t *rapid.T, e *job.Evidence) (next []job.Command) {
	generation := w.state.Generation
	for rank := range w.spec.Sizes()[len(w.spec.Sizes())-1] {
		if w.state.Gang == nil || w.state.Generation != generation || rank >= w.state.Gang.Nodes {
			break
		}
		next = append(next, w.tell(t, job.Event{Kind: job.End, Rank: rank, Evidence: e})...)
	}
	return next
}
