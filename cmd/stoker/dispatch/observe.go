package dispatch

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// beat takes what the agent of a rank says.
func (d *Dispatcher) beat(k functions.Key, h events.Heartbeat) {
	d.Spending.Tell(h)
	e, n := d.find(k, h.Replica)
	if e == nil || h.Rank.Generation != e.Life.Generation || n != h.Rank.Rank {
		return
	}
	r := e.seen(n)
	r.beat, r.heard = h, d.Now()
	d.faulted(e, r)
	e.reported(r, *h.Rank)
	e.measure(h.Rank.Step, r.heard)
	e.moves(r, r.heard)
	e.conclude(n, r, d.Now())
	d.tell(e)
}

// find is the job that a rank is of; nil for one of an earlier job of the name, or of none.
func (d *Dispatcher) find(k functions.Key, id string) (e *entry, rank int) {
	of, isJob := events.JobOfRank(k)
	if !isJob {
		return nil, 0
	}
	uid, _, rank, ok := rankOf(id)
	e = d.jobs[of]
	if !ok || e == nil || e.rec.UID != uid {
		return nil, 0
	}
	return e, rank
}

// observe takes what the provider says of a rank.
func (d *Dispatcher) observe(s activities.ReplicaStatus) {
	of, isJob := events.JobOfRank(s.Key)
	if !isJob {
		return
	}
	if s.Last != nil {
		d.Spending.Tell(*s.Last)
	}
	_, generation, _, _ := rankOf(s.ID)
	e, n := d.find(s.Key, s.ID)
	if e == nil || !e.live() || generation < e.Life.Generation {
		d.stray(s)
		return
	}
	if generation != e.Life.Generation {
		d.Log.Warn("a rank of a gang that is not known yet", "job", of.String(), "rank", s.ID, "known", e.Life.Generation)
		return
	}
	r := e.seen(n)
	r.status = s
	if s.Last != nil && s.Last.Rank != nil && s.Last.Rank.Generation == generation {
		r.beat = *s.Last
		d.faulted(e, r)
		e.reported(r, *s.Last.Rank)
	}
	e.conclude(n, r, d.Now())
	d.tell(e)
}

// stray ends what runs of a gang that is over. Its lease was given back, or nobody knows its job.
func (d *Dispatcher) stray(s activities.ReplicaStatus) {
	if s.State == activities.RunStopping || s.State == activities.RunUnknown {
		return
	}
	d.box.Outside(func(ctx context.Context) {
		var err error
		if s.State == activities.RunGone {
			err = d.Provider.Forget(ctx, s.ID)
		} else {
			d.Log.Warn("stopping a rank of no gang", "rank", s.ID, "job", s.Key.String())
			err = d.Provider.Stop(ctx, s.ID, 0)
		}
		if err != nil && ctx.Err() == nil {
			d.Log.Warn("rank of no gang not ended", "rank", s.ID, "error", err)
		}
	})
}

// reported takes a report of a rank. What counts is the furthest of those of its gang, and for what not all of
// them tell the furthest of those that do. The clock of an agent is compared with itself alone.
func (e *entry) reported(r *rank, said events.Rank) {
	if !said.ReportedAt.After(r.said.ReportedAt) {
		return
	}
	before, p := r.said, &e.Progress
	r.said = said
	if p.Generation != said.Generation { // it begins further back
		*p = api.Progress{Generation: said.Generation, Loss: p.Loss, Losses: p.Losses}
	}
	known := p.At.Equal(said.ReportedAt) // from before a restart
	p.At, p.Step = said.ReportedAt, e.furthest(func(events.Rank) bool { return true }).said.Step
	if x := e.furthest(func(s events.Rank) bool { return s.Percent > 0 }); x != nil {
		p.Percent = x.said.Percent
	}
	if x := e.furthest(func(s events.Rank) bool { return s.ETASec > 0 }); x != nil {
		p.ETASec = x.said.ETASec
	}
	if r == e.furthest(func(s events.Rank) bool { return s.Percent > 0 || s.ETASec > 0 }) {
		e.foresee(before, said)
	}
	if x := e.furthest(func(s events.Rank) bool { return s.Loss != nil || s.Diverged }); x == r {
		e.takeLoss(said, known)
	}
}

// takeLoss takes the loss of a report; one that is known already is not drawn again.
func (e *entry) takeLoss(said events.Rank, known bool) {
	p := &e.Progress
	p.Diverged = said.Diverged
	if said.Loss == nil {
		return
	}
	p.Loss = said.Loss
	if !known {
		p.Losses = addLoss(p.Losses, *said.Loss)
	}
}

// furthest is the rank that is furthest on of those whose newest report tells something; of two the lower one. nil:
// none does.
func (e *entry) furthest(tells func(events.Rank) bool) (best *rank) {
	for _, r := range e.ranks {
		if r.said.ReportedAt.IsZero() || !tells(r.said) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(r.said.Step, best.said.Step), cmp.Compare(best.said.Rank, r.said.Rank)) > 0 {
			best = r
		}
	}
	return best
}

// done is the share of the work, in percent, of a job that has finished.
const done = 100

// conclude notes what the workflow does not know of a rank yet. It is derived from what agent and
// provider say now, so it may be repeated at any time.
func (e *entry) conclude(n int, r *rank, now time.Time) {
	g := e.Life.Gang
	if g == nil || n >= len(g.Ranks) {
		return
	}
	say := func(told *bool, ev job.Event) {
		if !*told {
			*told = true
			ev.Generation, ev.Rank = e.Life.Generation, n
			e.tellLater(ev)
		}
	}
	said := r.beat.Rank
	if said != nil && (r.beat.Phase == events.PhaseLoading || r.beat.Phase == events.PhaseReady) && !g.Ranks[n].Arrived {
		say(&r.told.arrived, job.Event{Kind: job.Arrive})
	}
	if said != nil {
		e.concludeWork(r, *said, now, say)
	}
	switch r.status.State {
	case activities.RunUnknown:
		say(&r.told.silent, job.Event{Kind: job.Silence})
	case activities.RunGone:
		say(&r.told.ended, job.Event{Kind: job.End, Evidence: e.evidence(n, r)})
	case activities.RunStarting, activities.RunRunning, activities.RunStopping:
		if r.told.silent {
			r.told.silent = false
			e.tellLater(job.Event{Kind: job.Heard, Generation: e.Life.Generation, Rank: n})
		}
	}
}

// concludeWork notes what a rank has reported of its work. Steps alone are no news: the workflow hears
// of them with a checkpoint, and at the end.
func (e *entry) concludeWork(r *rank, said events.Rank, now time.Time, say func(*bool, job.Event)) {
	at := job.Event{Kind: job.Progress, Step: said.Step, Done: said.Percent >= done}
	if s := said.Saved; s != nil && s.At.After(r.told.savedAt) && (e.leaving(r) || now.Sub(r.told.commit) >= commitsEvery) {
		r.told.savedAt, r.told.commit, r.told.saving = s.At, now, false
		e.committed(*s)
	} else if said.Saving && !e.leaving(r) {
		say(&r.told.saving, job.Event{Kind: job.SaveBegan})
	}
	switch {
	case at.Done:
		say(&r.told.done, at)
	case r.status.State == activities.RunGone && !r.told.ended:
		at.Generation = e.Life.Generation
		e.tellLater(at)
	}
}

// committed notes a checkpoint for the workflow. Of those that it has not heard of the furthest counts: ranks tell of
// theirs in any order.
func (e *entry) committed(s events.RankSaved) {
	next := job.Event{Kind: job.Commit, Generation: e.Life.Generation, Step: s.Step, Path: s.Path}
	waits := func(ev job.Event) bool { return ev.Kind == job.Commit && ev.Generation == next.Generation }
	if slices.ContainsFunc(e.pending, func(ev job.Event) bool { return waits(ev) && ev.Step > next.Step }) {
		return
	}
	e.pending = slices.DeleteFunc(e.pending, waits)
	e.tellLater(next)
}

// leaving tells whether a rank goes, or has gone: then every checkpoint it still commits counts.
func (e *entry) leaving(r *rank) bool {
	return r.status.State == activities.RunGone || e.Life.Phase == job.Draining
}

// faulted takes what the driver has reported of a rank's GPUs. It is held against the GPU once other programs had it there.
func (d *Dispatcher) faulted(e *entry, r *rank) {
	if end := r.beat.Rank.End; end != nil && len(end.Xids) > 0 {
		var xids []job.Xid
		for _, x := range end.Xids {
			xids = append(xids, job.Xid{Code: x.Code, GPU: x.GPU, At: x.At})
		}
		r.xids = d.faults.Take(e.user()+"/"+program(e.key.Name), xids)
	}
}

// sigKILL is what a tree is ended with that did not go.
const sigKILL = 9

// evidence is what is known of the end of a rank.
func (e *entry) evidence(n int, r *rank) *job.Evidence {
	s := r.status
	ev := job.Evidence{Rank: n, Node: s.Node, Ended: s.Ended, ExitCode: s.ExitCode, Output: s.Message, OOMKills: s.OOMKills}
	if s.Cause == events.CauseNodeLost {
		ev.LastHeard = latest(r.heard, s.Started)
	}
	end := r.beat.Rank
	if end == nil || end.End == nil {
		untold(&ev, s)
		return &ev
	}
	x := end.End
	ev.Xids, ev.Recovery = r.xids, x.Recovery
	ev.ExitCode, ev.Signal, ev.Refused, ev.Output = x.ExitCode, x.Signal, x.Refused, x.Output
	if ev.OOMKills = x.OOMKills; ev.OOMKills == 0 && !x.ByUs && x.ExitCode != 0 {
		ev.OOMKills = s.OOMKills // of workers, which the agent does not see; who ends well has lived through that
	}
	if !x.At.IsZero() {
		ev.Ended = x.At
	}
	if x.ByUs && !slices.Contains(othersDoing, s.Cause) {
		ev.Sender, ev.Output = job.SenderPlatform, ""
	}
	ev.Output = ending(ev.Output, maxOutput)
	if len(x.Error) > 0 {
		if told, err := job.ParseProgramError(x.Error); err == nil {
			told.Message, told.Stack = beginning(told.Message, maxOutput), ending(told.Stack, maxStack)
			ev.Error = &told
		}
	}
	return &ev
}

// untold completes the evidence of a rank whose agent had no time to say how it ended, or never ran.
func untold(ev *job.Evidence, s activities.ReplicaStatus) {
	ev.ExitCode = 0
	why := cmp.Or(s.Message, s.Cause)
	switch s.Cause {
	case events.CauseSpawnFailed, events.CauseImagePull:
		ev.Refused = why
	case events.CauseUnschedulable: // the node had no room left, and is none to keep away from
		ev.GivenUp, ev.Output, ev.Node = why, "", ""
	case events.CauseNeverReady:
		ev.GivenUp, ev.Output = why, ""
	case events.CauseKilled, events.CauseDrained:
		ev.Signal, ev.Sender, ev.OOMKills = sigKILL, job.SenderPlatform, 0
	case events.CauseOutOfMemory: // also where the provider does not count
		ev.Signal, ev.OOMKills = sigKILL, max(ev.OOMKills, 1)
	default:
		ev.Signal = sigKILL
	}
}

// othersDoing are the ends of a rank that its agent cannot tell from the platform's: it was asked to go.
var othersDoing = []string{events.CauseEvicted, events.CausePodDeleted, events.CausePreempted, events.CauseNodeLost}

// ending is the last n bytes of a text at most, in whole characters.
func ending(s string, n int) string { return strings.ToValidUTF8(s[max(0, len(s)-n):], "") }

// beginning is the first n bytes of a text at most, in whole characters.
func beginning(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
