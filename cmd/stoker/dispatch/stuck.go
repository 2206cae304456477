package dispatch

import (
	"fmt"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// heardWithin is how long ago each rank has to have been heard for the gang to be judged: some heartbeats. Of
// one that cannot be reached nobody knows whether it moves.
const heardWithin = 5 * time.Second

// usualFade is what earlier pauses between reports keep of their weight at the next one.
const usualFade = 0.8

// pulse is whether a gang moves, as its ranks report.
type pulse struct {
	generation uint64
	at         time.Time     // a rank last moved then, or was out of reach
	step       int64         // the furthest
	usual      time.Duration // from one step that is reported to the next, over all attempts
	stuck      time.Time     // it counts as hung since; zero: it does not
}

// mark is what changes while a rank moves.
type mark struct {
	step   int64
	saving bool
	saved  time.Time
}

// moves takes in what a rank reports. Other ranks may have nothing to say: if one moves, the gang does.
func (e *entry) moves(r *rank, now time.Time) {
	p, said := &e.pulse, r.beat.Rank
	if p.generation != e.Life.Generation {
		*p = pulse{generation: e.Life.Generation, at: now, usual: p.usual}
	}
	next := mark{step: said.Step, saving: said.Saving}
	if said.Saved != nil {
		next.saved = said.Saved.At
	}
	if next == r.mark {
		return
	}
	if p.step > 0 && said.Step > p.step {
		p.usual = time.Duration(usualFade*float64(p.usual) + (1-usualFade)*float64(now.Sub(p.at)))
	}
	r.mark, p.at, p.step, p.stuck = next, now, max(p.step, said.Step), time.Time{}
}

// judge tells of a gang that has not moved for too long though all its ranks can be reached, and has it
// started again if its manifest says so. A program that has never reported anything is left alone.
func (d *Dispatcher) judge(e *entry, now time.Time) {
	p := &e.pulse
	switch {
	case p.generation != e.Life.Generation || e.Life.Gang == nil || e.Progress.At.IsZero():
		return
	case !e.Life.Phase.Trains() || !e.reached(now):
		p.at = now
		return
	}
	spec := e.rec.Job.Spec.Stuck
	if !p.stuck.IsZero() || now.Before(job.StuckAt(spec, p.at, p.usual)) {
		return
	}
	p.stuck = now
	d.Log.Warn("a gang is stuck", "job", e.key.String(), "generation", e.Life.Generation, "step", p.step, "silent", now.Sub(p.at), "action", spec.Action)
	d.emit(e, "stuck", stuckEvent{UID: e.UID, Generation: e.Life.Generation, Stuck: *e.stuckView()})
	if spec.Action == functions.StuckRestart {
		e.tellLater(job.Event{Kind: job.Progress, Generation: e.Life.Generation, Step: p.step}) // whether it hangs there twice counts
		e.tellLater(job.Event{Kind: job.Stuck, Generation: e.Life.Generation})
	}
}

// reached tells whether every rank of the gang was heard just now.
func (e *entry) reached(now time.Time) bool {
	for n := range e.Life.Gang.Ranks {
		if r := e.ranks[n]; r == nil || now.Sub(r.heard) > heardWithin {
			return false
		}
	}
	return true
}

// stuckEvent is the data of the lifecycle event "stuck".
type stuckEvent struct {
	UID        string `json:"uid"`
	Generation uint64 `json:"generation"`
	api.Stuck
}

// stuckView is by what a gang counts as hung; nil: it does not.
func (e *entry) stuckView() *api.Stuck {
	p := e.pulse
	if p.stuck.IsZero() || p.generation != e.Life.Generation || !e.Life.Phase.Trains() {
		return nil
	}
	v := &api.Stuck{Since: p.at, Step: p.step, Action: e.rec.Job.Spec.Stuck.Action}
	say := func(format string, args ...any) { v.Evidence = append(v.Evidence, fmt.Sprintf(format, args...)) }
	say("no further step or checkpoint since %s, at step %d", p.at.UTC().Format(time.RFC3339), p.step)
	say("the next one usually takes %s, and after %s it counts as stuck", p.usual.Round(time.Millisecond), job.StuckAt(e.rec.Job.Spec.Stuck, p.at, p.usual).Sub(p.at))
	say("all %d ranks can be reached", len(e.Life.Gang.Ranks))
	behind, least := -1, p.step
	for n := range e.Life.Gang.Ranks {
		if said := e.seen(n).beat.Rank; said != nil && !said.ReportedAt.IsZero() && said.Step < least {
			behind, least = n, said.Step
		}
	}
	if behind >= 0 {
		say("rank %d is furthest behind, at step %d", behind, least)
	}
	return v
}
