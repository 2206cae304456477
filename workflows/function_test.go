package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

var key = functions.Key{Namespace: "default", Name: "tinylm"}

// world is what the activities touch, as plain sets.
type world struct {
	mu       sync.Mutex
	running  map[string]bool
	drained  []string
	killed   []string
	released []string
	gpus     int
	pending  int
	closed   int
	starts   int
	stubborn bool  // what is stopped does not go
	err      error // of every start
}

func newWorld(gpus int) *world { return &world{running: map[string]bool{}, gpus: gpus} }

func (w *world) start(_ context.Context, r activities.StartRequest) (activities.StartResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out activities.StartResult
	if w.err != nil {
		return out, w.err
	}
	for _, id := range r.IDs {
		if len(w.running) >= w.gpus {
			out.Blocked, out.Why = append(out.Blocked, id), "no free GPU"
			continue
		}
		if !w.running[id] {
			w.starts++
		}
		w.running[id] = true
		out.Started = append(out.Started, activities.Started{ID: id, Node: "here", Epoch: 1})
	}
	return out, nil
}

func (w *world) drain(_ context.Context, r activities.ReplicaRef) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drained = append(w.drained, r.ID)
	return nil
}

func (w *world) stop(_ context.Context, r activities.ReplicaRef) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.killed = append(w.killed, r.ID)
	if !w.stubborn {
		delete(w.running, r.ID)
	}
	return !w.running[r.ID], nil
}

func (w *world) release(_ context.Context, r activities.ReplicaRef) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, r.ID)
	w.released = append(w.released, r.ID)
	return nil
}

func (w *world) close(context.Context, activities.QueueRef) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed++
	return w.pending, nil
}

// run is one test of the workflow: scripted syncs at given times, and what each answered.
type run struct {
	env     *testsuite.TestWorkflowEnvironment
	world   *world
	answers []workflows.Status
	refused []error
}

func newRun(t *testing.T, w *world) *run {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(30 * time.Second)
	workflows.RegisterWorkflows(env)
	a := &activities.Activities{}
	env.RegisterActivity(a)
	env.OnActivity(a.StartReplicas, anything, anything).Return(w.start).Maybe()
	env.OnActivity(a.DrainReplica, anything, anything).Return(w.drain).Maybe()
	env.OnActivity(a.StopReplica, anything, anything).Return(w.stop).Maybe()
	env.OnActivity(a.ReleaseReplica, anything, anything).Return(w.release).Maybe()
	env.OnActivity(a.CloseQueue, anything, anything).Return(w.close).Maybe()
	return &run{env: env, world: w}
}

// at sends a sync, made when its time has come from the status then.
func (r *run) at(d time.Duration, build func(now workflows.Status) workflows.Sync) {
	r.env.RegisterDelayedCallback(func() {
		r.env.UpdateWorkflow(workflows.UpdateSync, fmt.Sprint(d), &callback{r}, build(r.status()))
	}, d)
}

func (r *run) status() workflows.Status {
	var st workflows.Status
	if v, err := r.env.QueryWorkflow(workflows.QueryStatus); err == nil {
		_ = v.Get(&st)
	}
	return st
}

type callback struct{ r *run }

func (c *callback) Accept()          {}
func (c *callback) Reject(err error) { c.r.refused = append(c.r.refused, err) }
func (c *callback) Complete(v any, err error) {
	if err != nil {
		c.r.refused = append(c.r.refused, err)
		return
	}
	c.r.answers = append(c.r.answers, v.(workflows.Status))
}

func (r *run) execute(t *testing.T, s workflows.State) {
	t.Helper()
	r.env.ExecuteWorkflow(workflows.Function, s)
	if !r.env.IsWorkflowCompleted() {
		t.Fatal("the workflow did not end")
	}
}

func spec() functions.Spec {
	return functions.Spec{
		Resources: functions.Resources{GPUs: 1},
		Runtime:   functions.Runtime{Drain: functions.DrainSpec{Grace: functions.Duration(10 * time.Second)}},
	}
}

func decided(epoch uint64, target int, victims ...string) workflows.Sync {
	return workflows.Sync{
		Key:      key,
		Decision: scale.Decision{Epoch: epoch, Target: target, Revision: "r1", Victims: victims, Reason: scale.ReasonBacklog, Phase: scale.PhaseServing},
		Deploy:   workflows.Deploy{Revision: "r1", Spec: spec(), Shard: 3},
	}
}

func ids(rs []workflows.ReplicaState) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.ID)
	}
	return out
}

func observed(phase string, id ...string) []workflows.ReplicaObservation {
	var out []workflows.ReplicaObservation
	for _, x := range id {
		out = append(out, workflows.ReplicaObservation{ID: x, Phase: phase, At: time.Unix(1, 0)})
	}
	return out
}

// closing ends a test: target zero, everything observed gone.
func (r *run) closing(d time.Duration, epoch uint64) {
	r.at(d, func(now workflows.Status) workflows.Sync {
		s := decided(epoch, 0, ids(now.Replicas)...)
		s.Close, s.Observed = true, observed(workflows.PhaseExited, ids(now.Replicas)...)
		return s
	})
}

func TestStartsWhatTheTargetLacksOnce(t *testing.T) {
	w := newWorld(8)
	r := newRun(t, w)
	for i := range 3 { // the same decision three times: level-triggered, nothing started twice
		r.at(time.Duration(i+1)*time.Second, func(workflows.Status) workflows.Sync { return decided(1, 3) })
	}
	r.at(4*time.Second, func(workflows.Status) workflows.Sync { return decided(2, 5) })
	r.closing(5*time.Second, 3)
	r.execute(t, workflows.State{Key: key})
	if err := r.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{3, 3, 3, 5, 0} {
		if got := len(r.answers[i].Replicas); got != want {
			t.Errorf("answer %d: %d replicas, want %d", i, got, want)
		}
	}
	if len(w.released) != 5 || len(w.running) != 0 {
		t.Errorf("released %v, still running %v; want five released and none running", w.released, w.running)
	}
	if w.closed == 0 {
		t.Error("the queue was not closed at zero")
	}
}

func TestRefusesOlderDecisions(t *testing.T) {
	r := newRun(t, newWorld(8))
	r.at(time.Second, func(workflows.Status) workflows.Sync { return decided(7, 1) })
	r.at(2*time.Second, func(workflows.Status) workflows.Sync { return decided(6, 4) })
	r.at(3*time.Second, func(workflows.Status) workflows.Sync {
		s := decided(9, 4)
		s.Key.Name = "other"
		return s
	})
	r.closing(4*time.Second, 8)
	r.execute(t, workflows.State{Key: key})
	if len(r.refused) != 2 {
		t.Fatalf("refused %v, want the older decision and the other function's", r.refused)
	}
	var app *temporal.ApplicationError
	if !errors.As(r.refused[0], &app) || app.Type() != "StaleEpoch" {
		t.Errorf("refused with %v, want type StaleEpoch", r.refused[0])
	}
	if got := len(r.answers[0].Replicas); got != 1 {
		t.Errorf("%d replicas after the accepted decision, want 1", got)
	}
}

func TestDrainsVictimsAndKillsTheOverdue(t *testing.T) {
	w := newWorld(8)
	r := newRun(t, w)
	r.at(time.Second, func(workflows.Status) workflows.Sync { return decided(1, 2) })
	r.at(2*time.Second, func(now workflows.Status) workflows.Sync { return decided(2, 1, now.Replicas[0].ID) })
	// The victim's grace is 10 s and 5 s are added: nothing is said of it, so it is killed.
	r.closing(time.Minute, 3)
	r.execute(t, workflows.State{Key: key})
	if len(w.drained) == 0 || len(w.killed) == 0 || w.killed[0] != w.drained[0] {
		t.Fatalf("drained %v, killed %v; want the victim drained, then killed", w.drained, w.killed)
	}
	if !slices.Contains(w.released, w.killed[0]) {
		t.Errorf("released %v; want the killed replica among them", w.released)
	}
}

func TestComesBackForWhatWillNotGo(t *testing.T) {
	w := newWorld(8)
	w.stubborn = true
	r := newRun(t, w)
	r.at(time.Second, func(workflows.Status) workflows.Sync { return decided(1, 1) })
	r.at(2*time.Second, func(now workflows.Status) workflows.Sync { return decided(2, 0, ids(now.Replicas)...) })
	r.closing(65*time.Second, 3)
	r.execute(t, workflows.State{Key: key})
	// 2 s + 15 s, then every 10 s until 65 s.
	if n := len(w.killed); n < 4 || n > 7 {
		t.Errorf("killed %d times, want one try each ten seconds", n)
	}
}

func TestBlockedIsAnAnswer(t *testing.T) {
	w := newWorld(1)
	r := newRun(t, w)
	r.at(time.Second, func(workflows.Status) workflows.Sync { return decided(1, 3) })
	r.at(2*time.Second, func(workflows.Status) workflows.Sync { w.gpus = 3; return decided(1, 3) })
	r.closing(3*time.Second, 2)
	r.execute(t, workflows.State{Key: key})
	if got := r.answers[0]; got.Blocked == "" || len(got.Replicas) != 1 {
		t.Errorf("got %+v, want one replica and why the others are blocked", got)
	}
	if got := r.answers[1]; got.Blocked != "" || len(got.Replicas) != 3 {
		t.Errorf("got %+v, want three replicas once there is room", got)
	}
}

func TestRequestsWhileClosingAreReported(t *testing.T) {
	w := newWorld(1)
	r := newRun(t, w)
	r.at(time.Second, func(workflows.Status) workflows.Sync { return decided(1, 1) })
	r.at(2*time.Second, func(now workflows.Status) workflows.Sync {
		w.pending = 4
		s := decided(2, 0, ids(now.Replicas)...)
		s.Observed = observed(workflows.PhaseExited, ids(now.Replicas)...)
		return s
	})
	r.at(3*time.Second, func(workflows.Status) workflows.Sync { w.pending = 0; return decided(3, 0) })
	r.closing(4*time.Second, 4)
	r.execute(t, workflows.State{Key: key})
	if got := r.answers[1]; got.Pending != 4 || !got.Open {
		t.Errorf("got %+v, want 4 pending and the queue left open", got)
	}
	if got := r.answers[2]; got.Pending != 0 || got.Open {
		t.Errorf("got %+v, want the queue closed", got)
	}
}

// TestStartInDoubtIsRepeatedNotKilled: what runs may well serve (unreachable is not failed).
func TestStartInDoubtIsRepeatedNotKilled(t *testing.T) {
	w := newWorld(2)
	w.err = errors.New("the broker is away")
	r := newRun(t, w)
	r.at(time.Second, func(workflows.Status) workflows.Sync { return decided(1, 2) })
	r.at(2*time.Minute, func(workflows.Status) workflows.Sync {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = nil
		return decided(1, 2)
	})
	r.at(3*time.Minute, func(workflows.Status) workflows.Sync { return decided(1, 2) }) // nothing is in doubt any more
	r.at(4*time.Minute, func(now workflows.Status) workflows.Sync { return decided(2, 0, ids(now.Replicas)...) })
	r.closing(5*time.Minute, 3)
	r.execute(t, workflows.State{Key: key})
	if got := r.answers[0]; got.Trouble == "" || len(got.Replicas) != 2 {
		t.Fatalf("got %+v, want the trouble told and both IDs kept", got)
	}
	for i, got := range r.answers[1:3] {
		if got.Trouble != "" || !slices.Equal(ids(got.Replicas), ids(r.answers[0].Replicas)) {
			t.Errorf("sync %d: got %+v, want the same two IDs started", i+1, got)
		}
		for _, x := range got.Replicas {
			if x.Phase != workflows.PhaseStarting || x.Doubt {
				t.Errorf("sync %d: got %+v, want it starting, without a doubt", i+1, x)
			}
		}
	}
	if w.starts != 2 { // tries of the first activity are not counted: they fail before
		t.Errorf("%d replicas were started, want 2", w.starts)
	}
}

// TestStartInDoubtThatNobodyWantsGoes like every other replica.
func TestStartInDoubtThatNobodyWantsGoes(t *testing.T) {
	w := newWorld(2)
	w.err = errors.New("the broker is away")
	r := newRun(t, w)
	r.at(time.Second, func(workflows.Status) workflows.Sync { return decided(1, 2) })
	r.at(2*time.Minute, func(now workflows.Status) workflows.Sync { return decided(2, 0, ids(now.Replicas)...) })
	r.closing(4*time.Minute, 3)
	r.execute(t, workflows.State{Key: key})
	if len(w.drained) != 2 || len(w.killed) < 2 || len(w.released) < 2 {
		t.Errorf("drained %v, killed %v, released %v; want both drained, stopped and released", w.drained, w.killed, w.released)
	}
}

func TestAdoptsWhatAnEarlierHistoryStarted(t *testing.T) {
	w := newWorld(2)
	w.running["tinylm-aa"] = true
	r := newRun(t, w)
	r.at(time.Second, func(workflows.Status) workflows.Sync {
		s := decided(41, 1)
		s.Adopt = []workflows.ReplicaState{{ID: "tinylm-aa", Revision: "r1", Phase: workflows.PhaseReady, GPUs: 1}}
		return s
	})
	r.closing(2*time.Second, 42)
	r.execute(t, workflows.State{Key: key})
	if got := ids(r.answers[0].Replicas); !slices.Equal(got, []string{"tinylm-aa"}) {
		t.Errorf("replicas %v, want the adopted one and no other", got)
	}
}

func TestPhasesNeverGoBack(t *testing.T) {
	w := newWorld(1)
	r := newRun(t, w)
	r.at(time.Second, func(workflows.Status) workflows.Sync { return decided(1, 1) })
	r.at(2*time.Second, func(now workflows.Status) workflows.Sync { return decided(2, 0, ids(now.Replicas)...) })
	r.at(3*time.Second, func(now workflows.Status) workflows.Sync {
		s := decided(2, 0, ids(now.Replicas)...)
		s.Observed = observed(workflows.PhaseReady, ids(now.Replicas)...) // an old word
		return s
	})
	r.closing(4*time.Second, 3)
	r.execute(t, workflows.State{Key: key})
	if got := r.answers[2].Replicas[0].Phase; got != workflows.PhaseDraining {
		t.Errorf("phase %q, want draining", got)
	}
	if len(w.drained) != 1 {
		t.Errorf("drained %v, want once", w.drained)
	}
}

func TestFunctionSurvivesContinueAsNew(t *testing.T) {
	w := newWorld(4)
	first := newRun(t, w)
	first.env.SetContinueAsNewSuggested(true)
	first.at(time.Second, func(workflows.Status) workflows.Sync { return decided(5, 3) })
	first.execute(t, workflows.State{Key: key})
	var again *workflow.ContinueAsNewError
	if !errors.As(first.env.GetWorkflowError(), &again) {
		t.Fatalf("ended with %v, want continue-as-new", first.env.GetWorkflowError())
	}
	if len(first.answers) != 1 {
		t.Fatalf("%d answers before the run ended, want the handler finished first", len(first.answers))
	}
	var carried workflows.State
	if err := dataConverter.FromPayloads(again.Input, &carried); err != nil {
		t.Fatal(err)
	}
	second := newRun(t, w)
	second.at(time.Second, func(workflows.Status) workflows.Sync { return decided(4, 1) }) // older than what was carried
	second.at(2*time.Second, func(workflows.Status) workflows.Sync { return decided(5, 3) })
	second.closing(3*time.Second, 6)
	second.execute(t, carried)
	if len(second.refused) != 1 {
		t.Errorf("refused %v, want the older decision", second.refused)
	}
	if got, want := ids(second.answers[0].Replicas), ids(first.answers[0].Replicas); !slices.Equal(got, want) {
		t.Errorf("replicas %v after continue-as-new, want %v", got, want)
	}
	if second.answers[0].Runs != 1 {
		t.Errorf("runs %d, want 1", second.answers[0].Runs)
	}
}
