package dispatch

import (
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/scale/job"
)

// note takes a step of a job into the receipt of its gang. Of a gang that has just left because it was
// told to it returns how long that took.
func (e *entry) note(before, after job.State, now time.Time) (took time.Duration, left bool) {
	if g := after.Gang; g != nil && !g.Placed.IsZero() {
		a := e.attempt(after.Generation)
		a.Nodes, a.Placed, a.Started, a.Step = g.Nodes, g.Placed, g.Started, g.Step
		a.Asked, a.Noticed = g.Ask.Cause, g.Ask.At
		if after.Saved.Generation == after.Generation {
			a.SavedAt, a.SavedStep = after.Saved.At, after.Saved.Step
		}
		a.Resumed = e.resumed
	}
	if g := before.Gang; g != nil && !g.Placed.IsZero() && (after.Gang == nil || after.Generation != before.Generation) {
		a := e.attempt(before.Generation)
		a.Released, a.Class, a.Step = now, after.Last.Class, max(a.Step, after.Last.Step)
		if after.Saved.Generation == before.Generation {
			a.SavedAt, a.SavedStep = after.Saved.At, after.Saved.Step
		}
		if !g.Ask.At.IsZero() && !g.Started.IsZero() {
			return max(0, now.Sub(g.Ask.At)), true
		}
	}
	return 0, false
}

// timeOf splits the GPU-seconds of one attempt; until: now, for one that still holds its GPUs.
func timeOf(a api.Attempt, perNode int, now time.Time) api.JobTime {
	gpus := float64(a.Nodes * perNode)
	end := a.Released
	if end.IsZero() {
		end = now
	}
	span := func(from, to time.Time) float64 { return gpus * max(0, to.Sub(from).Seconds()) }
	t := api.JobTime{Held: span(a.Placed, end), Lent: lentOf(a, now)}
	t.USD = t.Held * a.PerHour / time.Hour.Seconds()
	if a.Started.IsZero() {
		t.Start = t.Held
		return t
	}
	left := end // it trained until then
	if !a.Noticed.IsZero() && a.Noticed.Before(end) {
		left = a.Noticed
	}
	t.Start, t.Drain = span(a.Placed, a.Started), span(left, end)
	kept := left
	if over := !a.Released.IsZero(); over && a.Class != job.ClassDone { // what was not committed is to be done again
		kept = a.Started
		if a.SavedAt.After(kept) {
			kept = a.SavedAt
		}
		if kept.After(left) { // committed within the grace: all of it is kept
			kept = left
		}
	}
	t.Useful, t.Lost = span(a.Started, kept), span(kept, left)
	return t
}

// lentOf is the GPU-seconds of an attempt on GPUs that were on loan to it.
func lentOf(a api.Attempt, now time.Time) float64 {
	end := now
	for _, t := range []time.Time{a.Released, a.Redeemed} {
		if !t.IsZero() && t.Before(end) {
			end = t
		}
	}
	return float64(a.Lent) * max(0, end.Sub(a.Placed).Seconds())
}

func sum(a, b api.JobTime) api.JobTime {
	return api.JobTime{Held: a.Held + b.Held, Useful: a.Useful + b.Useful, Lost: a.Lost + b.Lost, Start: a.Start + b.Start, Drain: a.Drain + b.Drain, Lent: a.Lent + b.Lent, USD: a.USD + b.USD}
}

// time is what all GPU-seconds of the job went into.
func (e *entry) time(now time.Time) api.JobTime {
	total := e.Before
	for _, a := range e.Attempts {
		total = sum(total, timeOf(a, e.perNode(), now))
	}
	if total.Held > 0 {
		total.ETTR = total.Useful / total.Held
	}
	return total
}

// addLoss keeps a loss for the sparkline, and of too many each second one.
func addLoss(list []float64, loss float64) []float64 {
	list = append(list, loss)
	if len(list) <= maxLosses {
		return list
	}
	kept := list[:0]
	for i, l := range list {
		if i%2 == 0 {
			kept = append(kept, l)
		}
	}
	return kept
}
