package job

import (
	"time"

	"stoker.dev/stoker/functions"
)

// timer is a moment at which something is due.
type timer struct {
	at  time.Time
	due func(*machine)
}

// Next is when a [Tick] is due at the latest; the zero time if nothing is waited for but events.
func Next(spec functions.JobSpec, s State) time.Time {
	var next time.Time
	for _, t := range timers(spec, s) {
		if next.IsZero() || t.at.Before(next) {
			next = t.at
		}
	}
	return next
}

// tick does what is due, the earliest first. One is enough: what follows has a timer of its own.
func (m *machine) tick(Event) error {
	var first *timer
	for _, t := range timers(m.spec, m.State) {
		if !m.now.Before(t.at) && (first == nil || t.at.Before(first.at)) {
			first = &t
		}
	}
	if first != nil {
		first.due(m)
	}
	return nil
}

// timers are the moments that a job in its state waits for.
func timers(spec functions.JobSpec, s State) []timer {
	if s.Phase.Terminal() {
		return nil
	}
	var out []timer
	add := func(at time.Time, due func(*machine)) { out = append(out, timer{at, due}) }
	stop := func(why Cause) func(*machine) { return func(m *machine) { m.stop(why) } }
	ending := s.Gang != nil && s.Gang.Ask.Cause.Final()
	if spec.Deadline > 0 && !ending {
		add(s.Submitted.Add(spec.Deadline.D()), stop(CauseDeadline))
	}
	if spec.QueueTimeout > 0 && s.Admitted.IsZero() && s.Phase != Paused {
		add(s.Submitted.Add(spec.QueueTimeout.D()), stop(CauseQueueTimeout))
	}
	switch s.Phase {
	case Placed, Barrier:
		add(s.Gang.Placed.Add(BarrierTimeout), func(m *machine) { m.ask(CauseBarrier, m.now) })
	case Running, Checkpointing:
		if spec.MaxRuntime > 0 {
			add(s.Gang.Started.Add(spec.MaxRuntime.D()-s.Used.Ran), stop(CauseMaxRuntime))
		}
		if at, limited := gpuTimeOut(spec, s); limited {
			add(at, stop(CauseBudget))
		}
	case Draining:
		if !s.Gang.Ask.Killed {
			add(s.Gang.Ask.KillAt, (*machine).kill)
		}
	case Recovering:
		add(s.RetryAt, func(m *machine) { m.requeue(m.Cause) })
	case Validated, Queued, Admitted, Paused, Succeeded, Failed, Cancelled, TimedOut, Rejected: // bounded above, or by nothing
	}
	return out
}

// gpuTimeOut is when the gang will have used up what is left of budget.maxGPUHours.
func gpuTimeOut(spec functions.JobSpec, s State) (time.Time, bool) {
	gpus := s.Gang.gpus(spec)
	milliHours := spec.Budget.MaxGPUHours.Milli()
	if milliHours == 0 || gpus == 0 {
		return time.Time{}, false
	}
	const milliPerSecond = 1000.0 / 3600
	left := int64(float64(milliHours)/milliPerSecond) - s.Used.GPUSeconds
	const longest = int64(functions.MaxJobSpan / time.Second)
	return s.Gang.Placed.Add(time.Duration(min(left/gpus, longest)) * time.Second), true
}
