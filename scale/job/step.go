package job

import (
	"fmt"
	"slices"
	"time"

	"stoker.dev/stoker/functions"
)

// Step takes a job from one state to the next by one event, and says what to do about it. It keeps
// the arguments as they are.
//
// What comes for another gang than the one of the state's generation is ignored, and so is
// everything after the end: messages are late, doubled and reordered. Errors match [ErrEvent] and
// are for events that can never be right.
func Step(spec functions.JobSpec, s State, e Event, now time.Time) (State, []Command, error) {
	handle, known := handlers[e.Kind]
	if !known {
		return s, nil, fmt.Errorf("%w: no such kind %q", ErrEvent, e.Kind)
	}
	if s.Phase.Terminal() || e.Kind.ofGang() && e.Generation != s.Generation {
		return s, nil, nil
	}
	m := machine{spec: spec, State: s.clone(), now: now}
	if err := handle(&m, e); err != nil {
		return s, nil, err
	}
	return m.State, m.commands, nil
}

// machine is one step being taken.
type machine struct {
	State
	spec     functions.JobSpec
	now      time.Time
	commands []Command
}

// handlers are what each kind of event does. None of them is called after the end of a job, nor
// with an event of another gang.
var handlers = map[Kind]func(*machine, Event) error{
	Enqueued:  (*machine).enqueued,
	Refused:   (*machine).refused,
	Admit:     (*machine).admit,
	Place:     (*machine).place,
	Unplace:   (*machine).unplace,
	Arrive:    (*machine).arrive,
	Progress:  (*machine).progress,
	SaveBegan: (*machine).saveBegan,
	Commit:    (*machine).commit,
	End:       (*machine).end,
	Silence:   (*machine).silence,
	Heard:     (*machine).heard,
	Stuck:     (*machine).stuck,
	Leave:     (*machine).leave,
	BudgetOut: func(m *machine, _ Event) error { m.stop(CauseBudget); return nil },
	Cancel:    func(m *machine, _ Event) error { m.stop(CauseCancelled); return nil },
	Pause:     func(m *machine, _ Event) error { m.stop(CausePaused); return nil },
	Resume:    (*machine).resume,
	Save:      (*machine).save,
	Tick:      (*machine).tick,
}

func (m *machine) enter(p Phase, why Cause) {
	if m.Phase != p {
		m.Since = m.now
	}
	m.Phase, m.Cause = p, why
}

// do appends a command about the current generation.
func (m *machine) do(c Command) {
	c.Generation = m.Generation
	m.commands = append(m.commands, c)
}

func (m *machine) enqueued(Event) error {
	if m.Phase == Validated {
		m.enter(Queued, m.Cause)
	}
	return nil
}

func (m *machine) refused(e Event) error {
	if e.Cause.end() != Rejected {
		return fmt.Errorf("%w: a queue does not refuse a job for %q", ErrEvent, e.Cause)
	}
	if m.Phase == Validated || m.Phase == Queued {
		m.do(Command{Do: Dequeue})
		m.enter(Rejected, e.Cause)
	}
	return nil
}

func (m *machine) admit(e Event) error {
	if m.Phase != Validated && m.Phase != Queued { // the queue may answer before it confirms
		return nil
	}
	if !m.spec.Allows(e.Nodes) || m.Wanted > 0 && e.Nodes != m.Wanted {
		return fmt.Errorf("%w: admitted with %d nodes, which is not a size of the job", ErrEvent, e.Nodes)
	}
	if m.Admitted.IsZero() {
		m.Admitted = m.now
	}
	m.Gang = &Gang{Nodes: e.Nodes}
	m.enter(Admitted, CauseAdmitted)
	m.do(Command{Do: Bind, Nodes: e.Nodes})
	return nil
}

func (m *machine) place(Event) error {
	if m.Phase == Admitted {
		m.Attempts++
		m.Gang.Placed, m.Gang.Ranks = m.now, make([]Rank, m.Gang.Nodes)
		m.enter(Placed, m.Cause)
		m.do(Command{Do: Start})
	}
	return nil
}

// unplace sends the job back to its queue. Of a gang that was placed some ranks may be there: they go first.
func (m *machine) unplace(Event) error {
	switch m.Phase {
	case Admitted:
		m.release()
		m.requeue(CauseUnplaced)
	case Placed, Barrier:
		m.ask(CauseUnplaced, m.now)
	default: // the whole gang is there, or on its way out
	}
	return nil
}

func (m *machine) arrive(e Event) error {
	rank, err := m.rank(e)
	if rank == nil || m.Phase != Placed && m.Phase != Barrier {
		return err
	}
	rank.Arrived = true
	if slices.ContainsFunc(m.Gang.Ranks, func(r Rank) bool { return !r.Arrived }) {
		m.enter(Barrier, m.Cause)
		return nil
	}
	m.Gang.Started = m.now
	m.enter(Running, m.Cause)
	m.do(Command{Do: Open})
	return nil
}

// rank finds the rank of an event; nil while there is no gang with ranks.
func (m *machine) rank(e Event) (*Rank, error) {
	if m.Gang == nil || len(m.Gang.Ranks) == 0 {
		return nil, nil
	}
	if e.Rank < 0 || e.Rank >= len(m.Gang.Ranks) {
		return nil, fmt.Errorf("%w: rank %d of a gang of %d", ErrEvent, e.Rank, len(m.Gang.Ranks))
	}
	return &m.Gang.Ranks[e.Rank], nil
}

func (m *machine) progress(e Event) error {
	if m.Gang != nil && !m.Gang.Started.IsZero() {
		m.Gang.Step = max(m.Gang.Step, e.Step)
		m.Gang.Done = m.Gang.Done || e.Done
	}
	return nil
}

func (m *machine) saveBegan(Event) error {
	if m.Phase == Running {
		m.enter(Checkpointing, m.Cause)
	}
	return nil
}

// commit keeps the newest checkpoint: of one gang the one furthest on, since messages may come out of
// order; a new gang may have begun further back. What is committed after the notice counts as well; that is
// what the grace is for.
func (m *machine) commit(e Event) error {
	if m.Gang == nil || m.Gang.Started.IsZero() {
		return nil
	}
	told := m.Saved.Generation == m.Generation && m.Saved.Step == e.Step && m.Saved.Path == e.Path // when counts, and it is not new
	if !told && (m.Saved.Generation != m.Generation || e.Step >= m.Saved.Step) {
		m.Saved = Saved{Path: e.Path, Step: e.Step, At: m.now, Generation: m.Generation}
	}
	m.Gang.Step = max(m.Gang.Step, e.Step)
	if m.Phase == Checkpointing {
		m.enter(Running, m.Cause)
	}
	return nil
}

// silence is written down and changes nothing: what cannot be reached may be training.
func (m *machine) silence(e Event) error {
	rank, err := m.rank(e)
	if rank != nil && rank.Silent.IsZero() {
		rank.Silent = m.now
	}
	return err
}

func (m *machine) heard(e Event) error {
	rank, err := m.rank(e)
	if rank != nil {
		rank.Silent = time.Time{}
	}
	return err
}

func (m *machine) save(Event) error {
	if m.Phase == Running {
		m.do(Command{Do: SaveNow})
	}
	return nil
}

// resume lets a paused job go on, also one whose gang is still on its way out.
func (m *machine) resume(Event) error {
	switch {
	case m.Phase == Paused:
		m.requeue(CauseResumed)
	case m.Phase == Draining && m.Gang.Ask.Cause == CausePaused:
		m.Gang.Ask.Cause = CauseResumed
		m.enter(Draining, CauseResumed)
	}
	return nil
}
