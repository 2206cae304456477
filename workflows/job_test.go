package workflows_test

import (
	"context"
	"errors"
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
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/workflows"
)

// fleet is what the activities of jobs touch, as plain counts.
type fleet struct {
	mu      sync.Mutex
	nodes   int   // free
	err     error // of everything
	did     []string
	notice  time.Time
	news    []job.Phase
	trouble []string // that was told with the news
	deaf    int      // so many of the next news are not taken
	unknown []int    // ranks the provider knows nothing of
	resumes string   // what the ranks say that they begin with
	keeps   string   // what it was last told not to clear
	notNow  int      // so many of the next starts cannot be
}

func (f *fleet) note(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.did = append(f.did, what)
	return nil
}

func (f *fleet) count(what string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.did {
		if d == what {
			n++
		}
	}
	return n
}

func (f *fleet) place(_ context.Context, r activities.PlaceRequest) (activities.PlaceResult, error) {
	if err := f.note("place"); err != nil {
		return activities.PlaceResult{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes < r.Nodes {
		return activities.PlaceResult{Why: "no room"}, nil
	}
	f.nodes -= r.Nodes
	return activities.PlaceResult{Nodes: make([]string, r.Nodes), Port: 1}, nil
}

func (f *fleet) start(context.Context, activities.GangStart) (activities.GangStarted, error) {
	if err := f.note("start"); err != nil {
		return activities.GangStarted{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.notNow > 0 {
		f.notNow--
		return activities.GangStarted{NotNow: "exceeded quota: gpus"}, nil
	}
	return activities.GangStarted{}, nil
}

func (f *fleet) open(context.Context, activities.GangRef) (activities.GangOpened, error) {
	return activities.GangOpened{Resumed: f.resumes}, f.note("open")
}

func (f *fleet) tell(_ context.Context, n activities.Notice) error {
	f.notice = n.KillAt
	return f.note("notice " + n.Cause)
}

func (f *fleet) kill(context.Context, activities.GangKill) ([]int, error) {
	return f.unknown, f.note("kill")
}

func (f *fleet) release(_ context.Context, g activities.GangRef) error {
	if err := f.note("release"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes += g.Nodes
	return nil
}

func (f *fleet) clear(_ context.Context, k activities.Keep) error {
	f.keeps = k.Saved.Path
	return nil
}

func (f *fleet) changed(_ context.Context, n activities.JobNews) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n.State.Phase.Terminal() && f.deaf > 0 {
		f.deaf--
		return errors.New("the disk is full")
	}
	f.trouble = append(f.trouble, n.Trouble)
	if len(f.news) == 0 || f.news[len(f.news)-1] != n.State.Phase {
		f.news = append(f.news, n.State.Phase)
	}
	return nil
}

// jobRun is one test of a job's workflow.
type jobRun struct {
	env   *testsuite.TestWorkflowEnvironment
	fleet *fleet
	last  workflows.JobStatus
}

func newJobRun(t *testing.T, f *fleet) *jobRun {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	workflows.RegisterWorkflows(env)
	g := &activities.Gangs{}
	env.RegisterActivity(g)
	env.OnActivity(g.PlaceGang, anything, anything).Return(f.place).Maybe()
	env.OnActivity(g.StartGang, anything, anything).Return(f.start).Maybe()
	env.OnActivity(g.OpenGang, anything, anything).Return(f.open).Maybe()
	env.OnActivity(g.NoticeGang, anything, anything).Return(f.tell).Maybe()
	env.OnActivity(g.KillGang, anything, anything).Return(f.kill).Maybe()
	env.OnActivity(g.ReleaseGang, anything, anything).Return(f.release).Maybe()
	env.OnActivity(g.ClearCheckpoints, anything, anything).Return(f.clear).Maybe()
	env.OnActivity("JobChanged", anything, anything).Return(f.changed).Maybe()
	return &jobRun{env: env, fleet: f}
}

// at tells the job something after a while.
func (r *jobRun) at(t *testing.T, after time.Duration, events ...job.Event) {
	r.env.RegisterDelayedCallback(func() {
		r.env.UpdateWorkflow(workflows.UpdateTell, "", &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(err error) { t.Errorf("refused: %v", err) },
			OnComplete: func(v any, err error) {
				st, ok := v.(workflows.JobStatus)
				if err != nil || !ok || len(st.Refused) > 0 {
					t.Errorf("told %v: %+v, %v", events, v, err)
				}
				r.last = st
			},
		}, workflows.Tell{UID: "uid", Events: events})
	}, after)
}

// carried is a job as its workflow is started with it.
func carried(change func(*functions.JobSpec)) workflows.JobState {
	var j functions.TrainingJob
	j.Spec.Resources = functions.JobResources{Nodes: 2, GPUsPerNode: 1}
	j.Spec.Preemption.Preemptible = true
	j.Spec.Retry.InfraErrors = 3
	spec := functions.DefaultJob(j).Spec
	if change != nil {
		change(&spec)
	}
	return workflows.JobState{Key: functions.Key{Namespace: "default", Name: "train"}, UID: "uid", Spec: spec, Code: workflows.JobCode}
}

func gang(kind job.Kind, generation uint64, rank int) job.Event {
	return job.Event{Kind: kind, Generation: generation, Rank: rank, Nodes: 2, Evidence: &job.Evidence{Rank: rank}}
}

// begin takes a job through its barrier.
func (r *jobRun) begin(t *testing.T) {
	r.at(t, time.Second, gang(job.Admit, 1, 0))
	r.at(t, 2*time.Second, gang(job.Arrive, 1, 0), gang(job.Arrive, 1, 1))
}

func TestAJobsWorkflowCarriesItToItsEnd(t *testing.T) {
	r := newJobRun(t, &fleet{nodes: 2, resumes: "/ckpt/step-3"})
	r.begin(t)
	r.at(t, time.Hour, job.Event{Kind: job.Commit, Generation: 1, Step: 7, Path: "/ckpt/step-7"})
	r.at(t, 2*time.Hour, gang(job.End, 1, 0), gang(job.End, 1, 1))
	r.env.ExecuteWorkflow(workflows.Job, carried(nil))
	if err := r.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"place", "start", "open", "release"}; !slices.Equal(r.fleet.did, want) {
		t.Errorf("it did %v, want %v", r.fleet.did, want)
	}
	if r.fleet.keeps != "/ckpt/step-7" {
		t.Errorf("%q may not be cleared, want what it has saved", r.fleet.keeps)
	}
	if r.last.Resumed != "/ckpt/step-3" {
		t.Errorf("it began with %q, which its ranks alone could say", r.last.Resumed)
	}
	want := []job.Phase{job.Validated, job.Queued, job.Placed, job.Running, job.Succeeded}
	for _, p := range want {
		if !slices.Contains(r.fleet.news, p) {
			t.Errorf("nobody was told that it was %s: %v", p, r.fleet.news)
		}
	}
}

// A job that was let in before its workflow began holds its GPUs after its first task; what was decided about it
// too late means nothing.
func TestAJobBeginsWithWhatWasDecided(t *testing.T) {
	r := newJobRun(t, &fleet{nodes: 2})
	r.at(t, 2*time.Second, gang(job.Admit, 1, 0), gang(job.Arrive, 1, 0), gang(job.Arrive, 1, 1))
	r.at(t, time.Hour, gang(job.End, 1, 0), gang(job.End, 1, 1))
	s := carried(nil)
	s.First = []job.Event{gang(job.Admit, 1, 0)}
	r.env.ExecuteWorkflow(workflows.Job, s)
	if err := r.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"place", "start", "open", "release"}; !slices.Equal(r.fleet.did, want) {
		t.Errorf("it did %v, want %v", r.fleet.did, want)
	}
	if first := r.fleet.news[0]; first != job.Placed {
		t.Errorf("the first that was told is %s", first)
	}
}

// A job that was cancelled before its workflow began is cancelled.
func TestAJobCancelledAtOnceHoldsNothing(t *testing.T) {
	r := newJobRun(t, &fleet{nodes: 2})
	s := carried(nil)
	s.First = []job.Event{{Kind: job.Cancel}}
	r.env.ExecuteWorkflow(workflows.Job, s)
	var canceled *temporal.CanceledError
	if !errors.As(r.env.GetWorkflowError(), &canceled) || len(r.fleet.did) > 0 {
		t.Errorf("ended with %v after %v", r.env.GetWorkflowError(), r.fleet.did)
	}
}

// A job does not end before it was told how: the only other place where that stands is its history.
func TestAJobEndsOnceItsEndIsTold(t *testing.T) {
	f := &fleet{nodes: 2, deaf: 40}
	r := newJobRun(t, f)
	r.begin(t)
	r.at(t, time.Hour, gang(job.End, 1, 0), gang(job.End, 1, 1))
	r.env.ExecuteWorkflow(workflows.Job, carried(nil))
	if err := r.env.GetWorkflowError(); err != nil || f.deaf > 0 || f.news[len(f.news)-1] != job.Succeeded {
		t.Errorf("%v, told %v, %d words not taken", err, f.news, f.deaf)
	}
}

// What cannot be reached is tried again until it can be, and nothing is given up meanwhile.
func TestAJobOutlivesItsActivities(t *testing.T) {
	f := &fleet{nodes: 2}
	r := newJobRun(t, f)
	f.err = errors.New("the ledger is away")
	r.begin(t)
	r.env.RegisterDelayedCallback(func() { f.mu.Lock(); f.err = nil; f.mu.Unlock() }, 10*time.Minute)
	r.at(t, 20*time.Minute, gang(job.Arrive, 1, 0), gang(job.Arrive, 1, 1))
	r.at(t, 21*time.Minute, gang(job.End, 1, 0), gang(job.End, 1, 1))
	r.env.ExecuteWorkflow(workflows.Job, carried(nil))
	if err := r.env.GetWorkflowError(); err != nil || f.count("start") != 1 || f.count("release") != 1 {
		t.Errorf("%v after %v", err, f.did)
	}
}

func TestAJobWithoutRoomWaitsAgain(t *testing.T) {
	f := &fleet{nodes: 1}
	r := newJobRun(t, f)
	r.at(t, time.Second, gang(job.Admit, 1, 0))
	r.at(t, 2*time.Second, job.Event{Kind: job.Cancel})
	r.env.ExecuteWorkflow(workflows.Job, carried(nil))
	var canceled *temporal.CanceledError
	if !errors.As(r.env.GetWorkflowError(), &canceled) || r.last.Life.Generation != 2 || f.count("release") != 0 {
		t.Errorf("ended with %v as %+v after %v", r.env.GetWorkflowError(), r.last.Life, f.did)
	}
}

// A gang that cannot be started now goes, and is let in again after a pause, however often: that spends no retry, keeps it
// away from no node, and people see why.
func TestAJobThatCannotBeStartedNowWaitsAgain(t *testing.T) {
	f := &fleet{nodes: 2, notNow: 2, unknown: []int{0, 1}}
	r := newJobRun(t, f)
	for i := range 3 {
		r.at(t, time.Duration(i+1)*time.Minute, gang(job.Admit, uint64(i+1), 0))
	}
	r.at(t, 4*time.Minute, gang(job.Arrive, 3, 0), gang(job.Arrive, 3, 1))
	r.at(t, time.Hour, gang(job.End, 3, 0), gang(job.End, 3, 1))
	s := carried(func(s *functions.JobSpec) { s.Retry.InfraErrors, s.Retry.UserErrors = 0, 0 })
	r.env.ExecuteWorkflow(workflows.Job, s)
	if err := r.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"place", "start", "kill", "release", "place", "start", "kill", "release", "place", "start", "open", "release"}; !slices.Equal(f.did, want) {
		t.Errorf("it did %v, want %v", f.did, want)
	}
	if got := r.last.Life; got.Used.Infra+got.Used.User > 0 || len(got.Avoid) > 0 || r.last.Short != "" {
		t.Errorf("it has spent %+v, avoids %v, and is short of %q", got.Used, got.Avoid, r.last.Short)
	}
	if !slices.Contains(f.news, job.Recovering) || !slices.Contains(f.trouble, "exceeded quota: gpus") {
		t.Errorf("people were told %v, %q", f.news, f.trouble)
	}
}

// Somebody who cancels the workflow in Temporal's UI cancels the job: its gang is told, and has its grace.
func TestCancellingTheWorkflowCancelsTheJob(t *testing.T) {
	f := &fleet{nodes: 2}
	r := newJobRun(t, f)
	r.begin(t)
	r.env.RegisterDelayedCallback(r.env.CancelWorkflow, time.Minute)
	r.at(t, time.Minute+10*time.Second, gang(job.End, 1, 0), gang(job.End, 1, 1))
	r.env.ExecuteWorkflow(workflows.Job, carried(nil))
	var canceled *temporal.CanceledError
	if !errors.As(r.env.GetWorkflowError(), &canceled) || f.count("notice cancelled") != 1 || f.count("release") != 1 {
		t.Errorf("ended with %v after %v", r.env.GetWorkflowError(), f.did)
	}
}

// A kill that is not obeyed is repeated; ranks that nobody knows of are gone.
func TestAGangThatDoesNotGoIsKilledAgain(t *testing.T) {
	f := &fleet{nodes: 2, unknown: []int{1}}
	r := newJobRun(t, f)
	r.begin(t)
	r.at(t, time.Minute, job.Event{Kind: job.Cancel})
	r.at(t, 3*time.Minute, gang(job.End, 1, 0))
	r.env.ExecuteWorkflow(workflows.Job, carried(nil))
	if n := f.count("kill"); n < 5 || f.count("release") != 1 {
		t.Errorf("killed %d times within two minutes: %v", n, f.did)
	}
}

func TestAJobSurvivesContinueAsNew(t *testing.T) {
	f := &fleet{nodes: 2}
	first := newJobRun(t, f)
	first.env.SetContinueAsNewSuggested(true)
	first.at(t, time.Second, gang(job.Admit, 1, 0))
	first.env.ExecuteWorkflow(workflows.Job, carried(nil))
	state, runs := carried(nil), 0
	next := first
	for again := (*workflow.ContinueAsNewError)(nil); errors.As(next.env.GetWorkflowError(), &again); runs++ {
		if err := dataConverter.FromPayloads(again.Input, &state); err != nil {
			t.Fatal(err)
		}
		next = newJobRun(t, f)
		switch state.Life.Phase {
		case job.Validated, job.Queued:
			next.env.SetContinueAsNewSuggested(true)
			next.at(t, time.Second, gang(job.Admit, 1, 0))
		case job.Placed:
			next.env.SetContinueAsNewSuggested(true)
			next.at(t, time.Second, gang(job.Arrive, 1, 0), gang(job.Arrive, 1, 1))
		default:
			next.at(t, time.Second, gang(job.End, 1, 0), gang(job.End, 1, 1))
		}
		next.env.ExecuteWorkflow(workflows.Job, state)
	}
	if err := next.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"place", "start", "open", "release"}; !slices.Equal(f.did, want) || runs < 3 {
		t.Errorf("over %d runs it did %v, want each once", runs, f.did)
	}
	if last := f.news[len(f.news)-1]; last != job.Succeeded {
		t.Errorf("the last that was told is %s", last)
	}
}
