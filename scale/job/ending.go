package job

import (
	"fmt"
	"time"

	"stoker.dev/stoker/functions"
)

// end notes that a rank is gone. One that failed takes the gang with it: the others cannot go on
// without it, and are killed at once.
func (m *machine) end(e Event) error {
	if e.Evidence == nil {
		return fmt.Errorf("%w: the end of rank %d without evidence", ErrEvent, e.Rank)
	}
	rank, err := m.rank(e)
	if rank == nil || rank.End != nil {
		return err
	}
	evidence := *e.Evidence
	evidence.Rank = e.Rank
	rank.End = &evidence
	if m.Gang.gone() {
		m.settle()
		return nil
	}
	if m.Phase != Draining && !(evidence.clean() && m.Phase.Trains()) {
		m.ask(CauseFailed, m.now)
	}
	return nil
}

func (m *machine) stuck(Event) error {
	if m.Phase.Trains() {
		m.ask(CauseHung, m.now)
	}
	return nil
}

// leave tells the gang to make room.
func (m *machine) leave(e Event) error {
	switch {
	case !e.Cause.makesRoom():
		return fmt.Errorf("%w: %q is no cause to make room for", ErrEvent, e.Cause)
	case e.Cause == CauseResized && !m.spec.Allows(e.Nodes):
		return fmt.Errorf("%w: resized to %d nodes, which is not a size of the job", ErrEvent, e.Nodes)
	case m.Gang == nil:
		return nil
	case e.Cause == CausePreempted && !Preemptible(m.spec, m.State, m.now):
		return fmt.Errorf("%w: the job may not be preempted now", ErrEvent)
	}
	if e.Cause == CauseResized {
		m.Wanted = e.Nodes
	}
	m.withdraw(e.Cause, e.KillBy)
	return nil
}

// Preemptible tells whether a job may be made to give way to one of higher rank now. Loans are
// recalled and machines are lost whatever this says.
func Preemptible(spec functions.JobSpec, s State, now time.Time) bool {
	p := spec.Preemption
	return p.Preemptible && s.Phase.Holds() && (s.Gang.Started.IsZero() || s.Gang.ran(now) >= p.MinRuntime.D())
}

// stop ends a job, or pauses it: at once where it holds nothing, otherwise once its gang is gone.
func (m *machine) stop(why Cause) {
	switch {
	case m.Gang != nil:
		m.withdraw(why, time.Time{})
	case m.Phase == Paused && why == CausePaused:
	default:
		if m.Phase == Validated || m.Phase == Queued {
			m.do(Command{Do: Dequeue})
		}
		m.RetryAt = time.Time{}
		m.stopped(why)
	}
}

// stopped is where a job is that was told to stop and holds nothing.
func (m *machine) stopped(why Cause) {
	if why == CausePaused {
		m.enter(Paused, why)
		return
	}
	m.enter(why.end(), why)
}

// withdraw tells a gang to go: with a grace where there is work to save, at once before that.
func (m *machine) withdraw(why Cause, killBy time.Time) {
	if m.Phase == Admitted { // nothing of it has started
		m.release()
		if why.makesRoom() {
			m.requeue(why)
		} else {
			m.stopped(why)
		}
		return
	}
	killAt := m.now
	if m.Phase.Trains() {
		killAt = m.now.Add(m.spec.Preemption.Grace.D())
	}
	if m.Phase == Draining { // it was told before, and knows until when
		killAt = m.Gang.Ask.KillAt
	}
	if !killBy.IsZero() && killBy.Before(killAt) {
		killAt = killBy
	}
	m.ask(why, killAt)
}

// ask tells a gang to go until a moment. Of several causes the weightiest stands: the end of the
// job before a pause, a pause before an attempt more; of equals the first.
func (m *machine) ask(why Cause, killAt time.Time) {
	a := &m.Gang.Ask
	if a.Cause == CauseNone || why.weight() > a.Cause.weight() {
		a.Cause = why
	}
	m.enter(Draining, a.Cause)
	sooner := a.At.IsZero() || killAt.Before(a.KillAt)
	if a.At.IsZero() {
		a.At = m.now
	}
	if !sooner {
		return
	}
	a.KillAt = killAt
	if killAt.After(m.now) {
		m.do(Command{Do: Notify, Cause: a.Cause, KillAt: killAt})
		return
	}
	m.kill()
}

// weight orders the causes that a gang is told to go for.
func (c Cause) weight() int {
	const room, failure, pause, end = 0, 1, 2, 3
	switch {
	case c.Final():
		return end
	case c == CausePaused:
		return pause
	case c.makesRoom():
		return room
	default:
		return failure
	}
}

func (m *machine) kill() {
	if !m.Gang.Ask.Killed {
		m.Gang.Ask.Killed = true
		m.do(Command{Do: Kill})
	}
}

// release gives the GPUs of the gang back and counts what it had.
func (m *machine) release() {
	g := m.Gang
	m.Used.Ran += g.ran(m.now)
	m.Used.GPUSeconds += int64(g.held(m.now).Round(time.Second)/time.Second) * g.gpus(m.spec)
	m.do(Command{Do: Release})
	m.Gang = nil
}

// requeue asks for another gang, ahead of the others, under a generation of its own.
func (m *machine) requeue(why Cause) {
	if why != CauseResized {
		m.Wanted = 0 // whatever size there is room for now
	}
	m.Generation++
	m.RetryAt = time.Time{}
	m.enter(Queued, why)
	m.do(Command{Do: Enqueue, Front: true, Nodes: m.Wanted, Avoid: m.Avoid})
}

// settle judges a gang of which nothing is left, and acts on it.
func (m *machine) settle() {
	g := m.Gang
	v := Judge(m.trial())
	m.Last = v
	m.release()
	switch v.Action {
	case ActionFinish:
		m.enter(Succeeded, Cause(v.Class))
	case ActionStop:
		m.stopped(g.Ask.Cause)
	case ActionRequeue:
		m.requeue(afterwards(g.Ask.Cause, v))
	case ActionFail:
		m.enter(Failed, Cause(v.Class))
	case ActionRetry, ActionElsewhere:
		m.retry(v)
	}
}

// afterwards is why a job is in its queue again.
func afterwards(asked Cause, v Verdict) Cause {
	if asked.makesRoom() {
		return asked
	}
	return Cause(v.Class)
}

// retry waits out a pause before the next attempt, if the budget has one left.
func (m *machine) retry(v Verdict) {
	if !m.Used.left(v.Spends, m.spec.Retry) {
		m.enter(Failed, Cause(v.Class))
		return
	}
	m.Used.spend(v.Spends)
	if m.Saved.Generation == m.Generation {
		m.Used.InARow = 0 // the gang got on; a machine that fails every day is no reason to wait longer each day
	}
	m.Used.InARow++
	if v.Action == ActionElsewhere && v.Node != "" {
		m.avoid(v.Node)
	}
	m.RetryAt = m.now.Add(m.pause())
	m.enter(Recovering, Cause(v.Class))
}

// avoid keeps the job away from a node, and forgets the oldest of too many.
func (m *machine) avoid(node string) {
	kept := m.Avoid[:0:0]
	for _, n := range m.Avoid {
		if n != node {
			kept = append(kept, n)
		}
	}
	kept = append(kept, node)
	m.Avoid = kept[max(0, len(kept)-MaxAvoided):]
}

// pause is the wait before an attempt after failures: initial, doubled with each in a row, never above max.
func (m *machine) pause() time.Duration {
	b := m.spec.Retry.Backoff
	pause, failures := b.Initial.D(), m.Used.InARow
	if !m.Used.Anew {
		failures = m.Used.User + m.Used.Infra
	}
	for range min(failures-1, maxDoubling) {
		if pause >= b.Max.D() {
			break
		}
		pause *= 2
	}
	return min(pause, b.Max.D())
}

// trial is what the gang is judged by.
func (m *machine) trial() Trial {
	g := m.Gang
	t := Trial{
		Codes: m.spec.Retry.ExitCodes, SavedAt: m.Saved.At, Started: g.Started, Step: g.Step, Done: g.Done,
		Asked: g.Ask.Cause, AskedAt: g.Ask.At, Before: m.Last,
	}
	for i, r := range g.Ranks {
		t.Ranks = append(t.Ranks, *r.End)
		if !r.Arrived {
			t.Missing = append(t.Missing, i)
		}
	}
	return t
}
