package workflows

import (
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"stoker.dev/stoker/activities"
)

// step makes the newest decision true as far as it can be now. Each part stands alone: what
// one cannot do does not keep the others from being done, and the next sync tries again.
func (f *function) step(ctx workflow.Context) {
	f.Trouble, f.Blocked, f.Pending, f.Failed, f.Superseded = "", "", 0, nil, false
	workflow.SetCurrentDetails(ctx, f.page())
	for _, part := range []func(workflow.Context) error{f.kill, f.release, f.drain, f.start, f.close} {
		if err := part(ctx); err != nil {
			f.Trouble = err.Error()
			workflow.GetLogger(ctx).Warn("step cut short", "function", f.Key.String(), "error", err)
		}
	}
	f.show(ctx)
}

// release gives back the leases of replicas that are gone.
func (f *function) release(ctx workflow.Context) error {
	return f.each(ctx, f.in(PhaseExited), "release", f.acts.ReleaseReplica, func(r ReplicaState) { f.remove(r.ID) })
}

// kill ends replicas that outstayed their grace, and comes back for those that will not go.
// One that its provider does not know (its start was lost) is gone already.
func (f *function) kill(ctx workflow.Context) error {
	late, _ := f.overdue(workflow.Now(ctx))
	futures := make([]workflow.Future, len(late))
	for i, r := range late {
		f.update(ctx, r.ID, PhaseStopping)
		f.find(r.ID).KillAt = workflow.Now(ctx).Add(killRetry)
		summary := fmt.Sprintf("kill %s: %s", r.ID, f.because(r))
		futures[i] = workflow.ExecuteActivity(withActivity(ctx, summary), f.acts.StopReplica, f.ref(r))
	}
	var first error
	for i, r := range late {
		var gone bool
		if err := futures[i].Get(ctx, &gone); err != nil && first == nil {
			first = fmt.Errorf("kill %s: %w", r.ID, err)
		}
		if gone {
			f.update(ctx, r.ID, PhaseExited)
		}
	}
	return first
}

// drain asks the victims of the decision to finish and go.
func (f *function) drain(ctx workflow.Context) error {
	return f.each(ctx, f.toDrain(), "drain", f.acts.DrainReplica, func(r ReplicaState) {
		f.update(ctx, r.ID, PhaseDraining)
		if live := f.find(r.ID); live != nil {
			live.KillAt = f.killAt(workflow.Now(ctx))
		}
	})
}

// each runs one activity for several replicas at once, and done for those that it worked for.
func (f *function) each(ctx workflow.Context, rs []ReplicaState, verb string, activity any, done func(ReplicaState)) error {
	futures := make([]workflow.Future, len(rs))
	for i, r := range rs {
		summary := fmt.Sprintf("%s %s: %s", verb, r.ID, f.because(r))
		futures[i] = workflow.ExecuteActivity(withActivity(ctx, summary), activity, f.ref(r))
	}
	var first error
	for i, r := range rs {
		if err := futures[i].Get(ctx, nil); err != nil {
			if first == nil {
				first = fmt.Errorf("%s %s: %w", verb, r.ID, err)
			}
			continue
		}
		done(r)
	}
	return first
}

func (f *function) ref(r ReplicaState) activities.ReplicaRef {
	return activities.ReplicaRef{Key: f.Key, ID: r.ID, Cause: f.because(r), Grace: f.Deploy.Spec.Runtime.Drain.Grace}
}

// because is the cause of a replica's end: its own, or the reason of the decision.
func (f *function) because(r ReplicaState) string {
	if r.Cause != "" {
		return r.Cause
	}
	return string(f.Decision.Reason)
}

// update moves a replica forwards; it may be gone or further on by now.
func (f *function) update(ctx workflow.Context, id, phase string) {
	if r := f.find(id); r != nil && PhaseRank(phase) > PhaseRank(r.Phase) {
		r.Phase, r.Since = phase, workflow.Now(ctx)
	}
}

// start begins the replicas the target lacks, under IDs minted here: whatever is retried
// afterwards starts nothing twice. Those whose start is in doubt are begun again, too.
func (f *function) start(ctx workflow.Context) error {
	n, ids := f.lacking(), f.doubtful()
	if n == 0 && len(ids) == 0 {
		return nil
	}
	if n > 0 {
		minted, err := f.mint(ctx, n)
		if err != nil {
			return err
		}
		f.expect(ctx, minted)
		ids = append(ids, minted...)
	}
	var out activities.StartResult
	summary := fmt.Sprintf("start %d of revision %s: %s", len(ids), f.Deploy.Revision, f.Decision.Reason)
	err := workflow.ExecuteActivity(withActivity(ctx, summary), f.acts.StartReplicas, activities.StartRequest{
		Key: f.Key, Revision: f.Deploy.Revision, Shard: f.Deploy.Shard, Demand: f.Deploy.Demand, IDs: ids,
	}).Get(ctx, &out)
	if err != nil {
		f.doubt(ctx, ids)
		return fmt.Errorf("start replicas: %w", err)
	}
	f.started(out)
	return nil
}

// mint makes the IDs of new replicas. They name processes, leases and, on Kubernetes, Pods, so
// they start with the function's name and stay within a DNS label.
func (f *function) mint(ctx workflow.Context, n int) ([]string, error) {
	var ids []string
	err := workflow.SideEffectWithOptions(ctx, workflow.SideEffectOptions{Summary: "mint replica IDs"}, func(workflow.Context) any {
		out := make([]string, n)
		for i := range out {
			out[i] = replicaID(f.Key.Name)
		}
		return out
	}).Get(&ids)
	return ids, err
}

// maxNameInID leaves room for the separator and the random part within 63 bytes.
const maxNameInID = 50

func replicaID(name string) string {
	if len(name) > maxNameInID {
		name = name[:maxNameInID]
	}
	u := uuid.New()
	return fmt.Sprintf("%s-%x", name, u[:5])
}

// expect writes the replicas down before they are started, so that a sync which arrives
// meanwhile counts them.
func (f *function) expect(ctx workflow.Context, ids []string) {
	for _, id := range ids {
		f.add(ReplicaState{
			ID: id, Revision: f.Deploy.Revision, Phase: PhaseStarting, Since: workflow.Now(ctx),
			GPUs: f.Deploy.Spec.Resources.GPUs,
		})
	}
	f.QueueOpen = true
}

// started sorts out what became of the replicas that were begun.
func (f *function) started(out activities.StartResult) {
	for _, s := range out.Started {
		if r := f.find(s.ID); r != nil {
			r.Node, r.Doubt = s.Node, false
		}
	}
	for _, id := range out.Blocked {
		f.remove(id)
	}
	for _, x := range out.Failed {
		f.remove(x.ID)
	}
	f.Blocked, f.Failed, f.Superseded = out.Why, out.Failed, out.Superseded
}

// doubt is for replicas of which nobody can tell whether they were started: the platform was killed
// in between, say, for longer than an activity has patience. They may well serve, so the next step
// starts them again under the same IDs, which does nothing for those that run. (Before
// [retryStarts] they were killed.)
func (f *function) doubt(ctx workflow.Context, ids []string) {
	again := workflow.GetVersion(ctx, retryStarts, workflow.DefaultVersion, 1) == 1
	for _, id := range ids {
		r := f.find(id)
		switch {
		case r == nil:
		case again:
			r.Doubt = true
		default:
			r.Cause, r.KillAt = "start-in-doubt", workflow.Now(ctx)
			f.update(ctx, id, PhaseDraining)
		}
	}
}

// close removes the consumers of a function that is at zero. Requests that came in meanwhile
// are reported instead, and the controller decides again.
func (f *function) close(ctx workflow.Context) error {
	if f.Decision.Target > 0 || len(f.Replicas) > 0 || !f.QueueOpen {
		return nil
	}
	err := workflow.ExecuteActivity(withActivity(ctx, "close the queue: at zero"), f.acts.CloseQueue,
		activities.QueueRef{Key: f.Key, Shard: f.Deploy.Shard}).Get(ctx, &f.Pending)
	if err != nil {
		return fmt.Errorf("close the queue: %w", err)
	}
	f.QueueOpen = f.Pending > 0
	return nil
}
