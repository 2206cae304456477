package dispatch

import (
	"context"
	"slices"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/workflows"
)

// Jobs implements [api.Jobs].
func (d *Dispatcher) Jobs(ctx context.Context, namespace string) ([]api.Job, error) {
	var out []api.Job
	err := d.box.Call(ctx, func() {
		queues := d.queueViews(d.Now())
		for k, e := range d.jobs {
			if namespace == "" || k.Namespace == namespace {
				out = append(out, d.view(e, queues))
			}
		}
	})
	slices.SortFunc(out, func(a, b api.Job) int { return b.Submitted.Compare(a.Submitted) })
	return out, err
}

// Job implements [api.Jobs].
func (d *Dispatcher) Job(ctx context.Context, k functions.Key) (api.Job, error) {
	var out api.Job
	err := d.with(ctx, k, func(e *entry) error {
		var queues map[string]api.JobQueue
		if e.waiting != nil { // which alone shows its queue
			queues = d.queueViews(d.Now())
		}
		out = d.view(e, queues)
		return nil
	})
	return out, err
}

func (d *Dispatcher) view(e *entry, queues map[string]api.JobQueue) api.Job {
	now := d.Now()
	s, spec := e.Life, e.rec.Job.Spec
	v := api.Job{
		Key: e.key, UID: e.rec.UID, Phase: s.Phase, Cause: s.Cause, Meaning: s.Cause.Meaning(), Since: s.Since,
		Submitted: s.Submitted, Admitted: s.Admitted, User: e.rec.User, Queue: spec.Queue, Priority: spec.Priority,
		Generation: s.Generation, Attempt: s.Attempts, Sizes: d.sizes(spec), PerNode: e.perNode(),
		Progress: e.Progress, Saved: s.Saved, Resumed: e.resumed, Used: s.Used, Time: e.time(now), Attempts: slices.Clone(e.Attempts),
		Goal: d.goalView(e, now), Stuck: e.stuckView(), Trouble: e.trouble, Workflow: workflows.JobWorkflowID(e.key, e.rec.UID), Manifest: e.rec.Job,
	}
	if err := d.unpriced(spec); err != nil && s.Phase == job.Queued {
		v.Trouble = err.Error()
	}
	v.Progress.Losses = slices.Clone(e.Progress.Losses)
	v.Manifest.Spec = functions.RedactJob(spec)
	if s.Last.Class != "" {
		v.Last = new(s.Last)
	}
	if g := s.Gang; g != nil {
		v.Nodes, v.GPUs = g.Nodes, g.Nodes*e.perNode()
		if l, open := d.loans.Find(e.loan()); open {
			v.Lent = l.GPUs
		}
		v.Ranks = e.rankViews(*g)
	}
	if w := e.waiting; w != nil && s.Phase == job.Queued {
		v.Waiting = &api.Waiting{Position: w.Position, Block: string(w.Block), Meaning: w.Block.Meaning(), Lacks: w.Lacks, Holders: w.Holders, Start: w.Start, Queue: queues[d.Queues.of(e.rec.Job)]}
	}
	return v
}

func (e *entry) rankViews(g job.Gang) []api.Rank {
	var out []api.Rank
	ref := e.gang(e.Life.Generation, g.Nodes)
	for n, r := range g.Ranks {
		x := api.Rank{ID: ref.RankID(n), Rank: n, State: "starting"}
		if n < len(e.placed.On) {
			x.Node = e.placed.On[n]
		}
		seen := e.ranks[n]
		if seen != nil {
			x.PID, x.Heard = seen.beat.ServerPID, seen.heard
			if seen.beat.Rank != nil {
				x.Step = seen.beat.Rank.Step
			}
		}
		x.State = stateOf(r, g, seen)
		out = append(out, x)
	}
	return out
}

// stateOf is a rank's state in a word or two.
func stateOf(r job.Rank, g job.Gang, seen *rank) string {
	switch {
	case r.End != nil:
		return "gone"
	case !r.Silent.IsZero():
		return "out of reach"
	case !g.Ask.At.IsZero():
		return "leaving"
	case !g.Started.IsZero():
		return "running"
	case r.Arrived:
		return "at the barrier"
	case seen != nil && seen.status.State == activities.RunStarting && seen.status.Cause != "":
		return "starting: " + seen.status.Cause
	}
	return "starting"
}
