package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/scale/job"
)

// Job carries one training job from its submission to its last GPU-second. What happens comes in by
// the Update "tell" and from its own activities and timers; what that means is [job.Step]'s to say.
// It ends with an error where the job does not succeed, so that Temporal shows it so.
func Job(ctx workflow.Context, s JobState) error {
	j := &jobRun{JobState: s, asked: ctx}
	if err := j.setup(ctx); err != nil {
		return err
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx) // a request to cancel is an event like any other
	defer cancel()
	return j.run(ctx)
}

// jobRun is a run of the workflow: the carried state and what belongs to the run only.
type jobRun struct {
	JobState
	asked   workflow.Context // is done once somebody cancelled the workflow itself
	gangs   *activities.Gangs
	retryAt time.Time // of the command at the head, after it failed
	tries   int       // it failed so often
	trouble string    // the last error
	short   string    // why there was no room for the last gang that was let in, or why it was not started
	killed  time.Time // when the gang was last killed
	news    bool      // the state has changed since it was told
	newsAt  time.Time // when that is told, after it failed
}

func (j *jobRun) setup(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (JobStatus, error) { return j.status(), nil },
		workflow.QueryHandlerOptions{Description: "phase, cause, attempts, checkpoint and gang of the job"})
	if err != nil {
		return fmt.Errorf("set the query handler: %w", err)
	}
	err = workflow.SetUpdateHandlerWithOptions(ctx, UpdateTell, j.tell, workflow.UpdateHandlerOptions{
		Validator:   j.validate,
		Description: "what happened to the job; answers with its state",
	})
	if err != nil {
		return fmt.Errorf("set the tell handler: %w", err)
	}
	if j.Life.Phase == "" {
		j.Life, j.Todo = job.New(workflow.Now(ctx))
		j.Life.Used.Anew = j.Code >= pauseAnew
		j.news = true
		if j.Code >= claimAtOnce && j.Listed == (Listed{}) {
			j.Listed.Phase = job.Queued // as those were started that do not carry it
		}
	}
	for _, e := range j.First {
		j.happened(ctx, e)
	}
	j.First = nil
	return nil
}

func (j *jobRun) validate(t Tell) error {
	if t.UID != j.UID {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("told about job %s, this is %s", t.UID, j.UID), typeStale, nil)
	}
	return nil
}

// tell takes in what happened. Events that can never be right are answered, and change nothing.
func (j *jobRun) tell(ctx workflow.Context, t Tell) (JobStatus, error) {
	var refused []string
	for _, e := range t.Events {
		if err := j.step(ctx, e); err != nil {
			refused = append(refused, err.Error())
		}
	}
	s := j.status()
	s.Refused = refused
	return s, nil
}

// step takes one event in, and notes what to do about it.
func (j *jobRun) step(ctx workflow.Context, e job.Event) error {
	before := j.Life
	after, todo, err := job.Step(j.Spec, before, e, workflow.Now(ctx))
	if err != nil {
		return err
	}
	j.Life = after
	j.Seq++
	j.Todo = append(j.Todo, todo...)
	j.news = j.news || changed(before, after)
	return nil
}

// changed tells whether there is something to tell of a step.
func changed(before, after job.State) bool {
	return before.Phase != after.Phase || before.Cause != after.Cause || before.Generation != after.Generation || before.Saved != after.Saved
}

// happened is step for events of the workflow's own making, which are always right.
func (j *jobRun) happened(ctx workflow.Context, e job.Event) {
	if err := j.step(ctx, e); err != nil {
		workflow.GetLogger(ctx).Error("event refused", "job", j.Key.String(), "event", e.Kind, "error", err)
	}
}

func (j *jobRun) run(ctx workflow.Context) error {
	for {
		if err := j.await(ctx); err != nil {
			return err
		}
		j.show(ctx)
		j.act(ctx)
		switch {
		case j.busy():
		case j.Life.Phase.Terminal():
			return j.finish(ctx)
		case j.full(ctx):
			if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
				return err
			}
			if !j.busy() {
				j.Runs++
				return workflow.NewContinueAsNewError(ctx, JobWorkflow, j.JobState)
			}
		}
	}
}

// busy tells whether there is anything to be done or told.
func (j *jobRun) busy() bool { return len(j.Todo) > 0 || j.news }

// await blocks until there is something to do: an event came in, or a moment has.
func (j *jobRun) await(ctx workflow.Context) error {
	now := workflow.Now(ctx)
	at, summary := j.next()
	ready := func() bool {
		return j.news && j.newsAt.IsZero() || len(j.Todo) > 0 && j.retryAt.IsZero() || j.withdrawn()
	}
	if ready() || j.Life.Phase.Terminal() && !j.busy() {
		return nil
	}
	j.mark(ctx)
	if at.IsZero() {
		return workflow.Await(ctx, ready)
	}
	if at.After(now) {
		waiting, cancel := workflow.WithCancel(ctx)
		defer cancel() // a timer that is not needed any more would wake the workflow for nothing
		timer := workflow.NewTimerWithOptions(waiting, at.Sub(now), workflow.TimerOptions{Summary: summary})
		if err := workflow.Await(ctx, func() bool { return ready() || timer.IsReady() }); err != nil {
			return err
		}
	}
	return nil
}

// withdrawn tells whether somebody cancelled the workflow itself, as Temporal's UI lets them.
func (j *jobRun) withdrawn() bool {
	return j.asked != nil && j.asked.Err() != nil
}

// next is the first moment at which something is due, and what.
func (j *jobRun) next() (time.Time, string) {
	at, what := job.Next(j.Spec, j.Life), fmt.Sprintf("a limit of the job: %s", j.Life.Phase)
	if again := j.killAgain(); !again.IsZero() && (at.IsZero() || again.Before(at)) {
		at, what = again, "not every rank is gone"
	}
	if !j.retryAt.IsZero() && (at.IsZero() || j.retryAt.Before(at)) {
		at, what = j.retryAt, "try again: "+clip(j.trouble, maxSummary)
	}
	if j.news && !j.newsAt.IsZero() && (at.IsZero() || j.newsAt.Before(at)) {
		at, what = j.newsAt, "tell of it again"
	}
	return at, what
}

// killAgain is when a gang that was killed and is not gone is killed once more.
func (j *jobRun) killAgain() time.Time {
	if g := j.Life.Gang; g == nil || !g.Ask.Killed {
		return time.Time{}
	}
	last := j.killed
	if last.IsZero() { // by an earlier run
		last = j.Life.Since
	}
	return last.Add(killRetry)
}

// act does all that can be done now.
func (j *jobRun) act(ctx workflow.Context) {
	now := workflow.Now(ctx)
	if j.withdrawn() {
		j.asked = nil
		j.happened(ctx, job.Event{Kind: job.Cancel})
	}
	if at := job.Next(j.Spec, j.Life); !at.IsZero() && !now.Before(at) {
		j.happened(ctx, job.Event{Kind: job.Tick})
	}
	if at := j.killAgain(); !at.IsZero() && !now.Before(at) && !j.pending(job.Kill) {
		j.Todo = append(j.Todo, job.Command{Do: job.Kill, Generation: j.Life.Generation})
	}
	if !j.retryAt.IsZero() && now.Before(j.retryAt) && !j.pending(job.Kill) {
		j.publish(ctx)
		return
	}
	j.retryAt = time.Time{}
	for len(j.Todo) > 0 {
		if j.Code < claimAtOnce || !j.pending(job.Bind) { // what comes of a claim is known at once, and is told then
			j.publish(ctx)
		}
		c := j.take()
		if !j.current(c) {
			continue
		}
		if err := j.carryOut(ctx, c); err != nil {
			j.failed(ctx, c, err)
			break
		}
		j.tries, j.trouble = 0, ""
	}
	j.publish(ctx)
}

func (j *jobRun) pending(what job.Do) bool {
	for _, c := range j.Todo {
		if c.Do == what {
			return true
		}
	}
	return false
}

// take is the next command: a kill before anything else, since what it stops may be why the others
// do not get on.
func (j *jobRun) take() job.Command {
	at := 0
	for i, c := range j.Todo {
		if c.Do == job.Kill {
			at = i
			break
		}
	}
	c := j.Todo[at]
	j.Todo = append(append([]job.Command{}, j.Todo[:at]...), j.Todo[at+1:]...)
	return c
}

// current tells whether a command still means something: what was to be done for a gang that is gone
// by now is not.
func (j *jobRun) current(c job.Command) bool {
	switch c.Do {
	case job.Bind, job.Start, job.Open, job.Notify, job.SaveNow, job.Kill:
		return j.Life.Gang != nil && c.Generation == j.Life.Generation
	default:
		return true
	}
}

// failed keeps a command for another try.
func (j *jobRun) failed(ctx workflow.Context, c job.Command, err error) {
	j.Todo = append([]job.Command{c}, j.Todo...)
	j.trouble = fmt.Sprintf("%s: %v", c.Do, cause(err))
	pause := min(jobRetry<<min(j.tries, 10), jobRetryMax)
	j.tries++
	j.retryAt = workflow.Now(ctx).Add(pause)
	workflow.GetLogger(ctx).Warn("to be tried again", "job", j.Key.String(), "command", c.Do, "error", err)
}

// why is what keeps the job from getting on, as far as that is not in its state.
func (j *jobRun) why() string { return cmp.Or(j.trouble, j.short) }

// cause is what an activity said, without Temporal's words around it.
func cause(err error) error {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return errors.New(app.Message())
	}
	return err
}

// Local activities are named, not passed: one that is passed runs without its receiver.
const (
	activityJobChanged = "JobChanged"
	activityPlaceGang  = "PlaceGang"
	activityOpenGang   = "OpenGang"
)

// publish tells the world what has changed. What cannot be told now is told in a moment, and nothing
// ends untold.
func (j *jobRun) publish(ctx workflow.Context) {
	if !j.news || workflow.Now(ctx).Before(j.newsAt) {
		return
	}
	j.news, j.newsAt = false, time.Time{}
	local := locally(ctx, tellPatience, fmt.Sprintf("%s: %s", j.Life.Phase, j.Life.Cause))
	news := activities.JobNews{Key: j.Key, UID: j.UID, State: j.Life, Seq: j.Seq, On: j.Placed.On, Resumed: j.Resumed, Trouble: j.why()}
	if err := workflow.ExecuteLocalActivity(local, activityJobChanged, news).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("change not told, trying again", "job", j.Key.String(), "phase", j.Life.Phase, "error", err)
		j.news, j.newsAt = true, workflow.Now(ctx).Add(tellPatience)
	}
	j.show(ctx)
}

func (j *jobRun) full(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > maxRunEvents
}

// finish waits for the handlers, so that no caller is left without its answer, and ends as the job did.
func (j *jobRun) finish(ctx workflow.Context) error {
	j.show(ctx)
	j.mark(ctx)
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	switch j.Life.Phase {
	case job.Succeeded:
		return nil
	case job.Cancelled:
		return temporal.NewCanceledError(j.Life.Cause.Meaning())
	default:
		text := fmt.Sprintf("%s: %s", j.Life.Phase, j.Life.Cause.Meaning())
		if hint := j.Life.Last.Hint; hint != "" && j.Life.Phase == job.Failed {
			text += "; " + hint
		}
		return temporal.NewNonRetryableApplicationError(text, string(j.Life.Cause), nil)
	}
}
