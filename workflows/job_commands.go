package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// carryOut does one command and takes in what came of it.
func (j *jobRun) carryOut(ctx workflow.Context, c job.Command) error {
	switch c.Do {
	case job.Enqueue: // the queue hears of it with the news
		j.happened(ctx, job.Event{Kind: job.Enqueued, Generation: c.Generation})
		return nil
	case job.Dequeue:
		return nil
	case job.Bind:
		return j.bind(ctx, c)
	case job.Start:
		return j.start(ctx, c)
	case job.Open:
		return j.open(ctx, c)
	case job.SaveNow:
		return j.do(ctx, "ask for a checkpoint", j.gangs.SaveGang, j.gang(c), nil)
	case job.Notify:
		return j.notify(ctx, c)
	case job.Kill:
		return j.kill(ctx, c)
	case job.Release:
		return j.release(ctx, c)
	}
	return fmt.Errorf("no such command %q", c.Do)
}

// do runs one activity.
func (j *jobRun) do(ctx workflow.Context, what string, activity, arg, out any) error {
	summary := fmt.Sprintf("%s: %s", what, j.Life.Cause)
	return workflow.ExecuteActivity(withActivity(ctx, summary), activity, arg).Get(ctx, out)
}

// soon is do for what takes milliseconds, and is not worth an activity of its own: many jobs are let in at once. No
// Update is taken in meanwhile, so it is given up early, and tried again like any command.
func (j *jobRun) soon(ctx workflow.Context, what, name string, activity, arg, out any) error {
	if j.Code < claimAtOnce {
		return j.do(ctx, what, activity, arg, out)
	}
	return workflow.ExecuteLocalActivity(locally(ctx, soonPatience, what), name, arg).Get(ctx, out)
}

// gang is the gang a command is about. Its size is kept beside it: a command to release comes when
// the state has forgotten the gang.
func (j *jobRun) gang(c job.Command) activities.GangRef {
	return activities.GangRef{
		Key: j.Key, UID: j.UID, Generation: c.Generation, Nodes: j.Placed.Nodes, Cause: string(c.Cause),
	}
}

func (j *jobRun) bind(ctx workflow.Context, c job.Command) error {
	j.Placed = Placed{Generation: c.Generation, Nodes: c.Nodes}
	req := activities.PlaceRequest{GangRef: j.gang(c), Resources: j.Spec.Resources, Avoid: j.Life.Avoid}
	var out activities.PlaceResult
	if err := j.soon(ctx, fmt.Sprintf("claim GPUs on %d nodes", c.Nodes), activityPlaceGang, j.gangs.PlaceGang, req, &out); err != nil {
		return err
	}
	if out.Nodes == nil {
		j.Placed, j.short = Placed{}, out.Why
		j.happened(ctx, job.Event{Kind: job.Unplace, Generation: c.Generation})
		return nil
	}
	j.Placed.On, j.Placed.Port = out.Nodes, out.Port
	j.happened(ctx, job.Event{Kind: job.Place, Generation: c.Generation})
	return nil
}

func (j *jobRun) start(ctx workflow.Context, c job.Command) error {
	c.Nodes = j.Placed.Nodes
	req := activities.GangStart{
		PlaceRequest: activities.PlaceRequest{GangRef: j.gang(c), Resources: j.Spec.Resources, Avoid: j.Life.Avoid},
		Attempt:      j.Life.Attempts, Port: j.Placed.Port, Deadline: j.end(ctx),
	}
	var out activities.GangStarted
	if err := j.do(ctx, fmt.Sprintf("start %d ranks", c.Nodes), j.gangs.StartGang, req, &out); err != nil {
		return err
	}
	j.Resumed, j.short = out.Resumed, out.NotNow
	if out.NotNow != "" {
		j.happened(ctx, job.Event{Kind: job.Unplace, Generation: c.Generation})
		return nil
	}
	now := workflow.Now(ctx)
	for _, x := range out.Refused {
		j.happened(ctx, job.Event{Kind: job.End, Generation: c.Generation, Rank: x.Rank, Evidence: &job.Evidence{
			Rank: x.Rank, Node: j.node(x.Rank), Ended: now, Refused: x.Message,
		}})
	}
	if !out.Lost {
		return nil
	}
	var never []int // the others end as their provider says
	if err := j.do(ctx, "end what has started of a gang that lost its GPUs", j.gangs.KillGang, activities.GangKill{GangRef: j.gang(c)}, &never); err != nil {
		return err
	}
	for _, rank := range never {
		j.happened(ctx, job.Event{Kind: job.End, Generation: c.Generation, Rank: rank, Evidence: &job.Evidence{
			Rank: rank, Node: j.node(rank), Ended: now, LastHeard: now,
		}})
	}
	return nil
}

// open opens the barrier. Ranks on volumes of their own are the first to know what they begin with.
func (j *jobRun) open(ctx workflow.Context, c job.Command) error {
	var out activities.GangOpened
	err := j.soon(ctx, "open the barrier", activityOpenGang, j.gangs.OpenGang, j.gang(c), &out)
	if out.Resumed != "" {
		j.Resumed, j.news = out.Resumed, true
	}
	return err
}

// end is when the job is stopped in any case; the zero time if no limit says so.
func (j *jobRun) end(ctx workflow.Context) time.Time {
	var end time.Time
	sooner := func(at time.Time) {
		if end.IsZero() || at.Before(end) {
			end = at
		}
	}
	if d := j.Spec.Deadline.D(); d > 0 {
		sooner(j.Life.Submitted.Add(d))
	}
	if d := j.Spec.MaxRuntime.D(); d > 0 {
		sooner(workflow.Now(ctx).Add(d - j.Life.Used.Ran))
	}
	return end
}

func (j *jobRun) node(rank int) string {
	if rank < len(j.Placed.On) {
		return j.Placed.On[rank]
	}
	return ""
}

func (j *jobRun) notify(ctx workflow.Context, c job.Command) error {
	n := activities.Notice{GangRef: j.gang(c), KillAt: c.KillAt, Grace: functions.Duration(max(0, c.KillAt.Sub(workflow.Now(ctx))))}
	return j.do(ctx, fmt.Sprintf("tell %d ranks to go by %s", n.Nodes, c.KillAt.UTC().Format("15:04:05")), j.gangs.NoticeGang, n, nil)
}

// kill ends every rank. Of those that never ran nobody else will tell.
func (j *jobRun) kill(ctx workflow.Context, c job.Command) error {
	var never []int
	k := activities.GangKill{GangRef: j.gang(c)}
	if ask := j.Life.Gang.Ask; j.killed.IsZero() && ask.KillAt.After(ask.At) { // it had a notice, and its agents know
		k.Grace = functions.Duration(lastWord)
	}
	err := j.do(ctx, fmt.Sprintf("kill %d ranks", j.Placed.Nodes), j.gangs.KillGang, k, &never)
	j.killed = workflow.Now(ctx)
	if err != nil {
		return err
	}
	for _, rank := range never {
		j.happened(ctx, job.Event{Kind: job.End, Generation: c.Generation, Rank: rank, Evidence: &job.Evidence{
			Rank: rank, Node: j.node(rank), Ended: j.killed, Sender: job.SenderPlatform, Signal: killSignal,
		}})
	}
	return nil
}

// lastWord is what agents get, beyond the grace of their rank, to say how it has ended.
const lastWord = time.Second

// killSignal is SIGKILL.
const killSignal = 9

func (j *jobRun) release(ctx workflow.Context, c job.Command) error {
	if j.Placed.Generation != c.Generation { // it never came to be bound
		return nil
	}
	c.Cause = j.Life.Cause
	if err := j.do(ctx, fmt.Sprintf("release %d ranks", j.Placed.Nodes), j.gangs.ReleaseGang, j.gang(c), nil); err != nil {
		return err
	}
	j.killed, j.Placed = time.Time{}, Placed{}
	keep := activities.Keep{Key: j.Key, UID: j.UID, Saved: j.Life.Saved}
	if err := j.do(ctx, "clear old checkpoints", j.gangs.ClearCheckpoints, keep, nil); err != nil {
		workflow.GetLogger(ctx).Warn("old checkpoints not cleared", "job", j.Key.String(), "error", err)
	}
	return nil
}
