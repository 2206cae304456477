package job

import (
	"errors"
	"time"
)

// ErrEvent is returned by [Step] for an event that makes no sense; the state is then unchanged.
var ErrEvent = errors.New("event refused")

// Kind is what happened.
type Kind string

// The kinds. Those of a gang carry its generation, and mean nothing for any other.
const (
	Enqueued Kind = "enqueued" // the queue has it
	Refused  Kind = "refused"  // the queue will never admit it; Cause says why
	Admit    Kind = "admit"    // the queue lets a gang of Nodes in

	Place     Kind = "place"      // the GPUs of the gang are bound
	Unplace   Kind = "unplace"    // they are not to be had any more, or nothing can be started on them now
	Arrive    Kind = "arrive"     // Rank is at the barrier
	Progress  Kind = "progress"   // the gang is at Step; Done: it says it has finished
	SaveBegan Kind = "save-began" // a checkpoint is being written
	Commit    Kind = "commit"     // the checkpoint Path of Step is committed
	End       Kind = "end"        // the process tree of a rank is gone, or its node is: Evidence
	Silence   Kind = "silence"    // Rank is out of reach
	Heard     Kind = "heard"      // Rank is heard again
	Stuck     Kind = "stuck"      // no progress for too long: Evidence, if there is any
	Leave     Kind = "leave"      // the gang shall go; Cause says why, KillBy when at the latest
	BudgetOut Kind = "budget-out" // its cost has reached budget.maxCost

	Cancel Kind = "cancel" // people end it
	Pause  Kind = "pause"  // people want its GPUs back for now
	Resume Kind = "resume" // people let a paused job go on
	Save   Kind = "save"   // people want a checkpoint now
	Tick   Kind = "tick"   // time has passed: a timer of [Next] is due
)

// Event is one thing that happened.
type Event struct {
	Kind       Kind      `json:"kind"`
	Generation uint64    `json:"generation,omitempty"` // of the gang it is about; 0: it is about the job
	Rank       int       `json:"rank,omitempty"`
	Nodes      int       `json:"nodes,omitempty"` // Admit; Leave to resize
	Cause      Cause     `json:"cause,omitempty"` // Refused, Leave
	Step       int64     `json:"step,omitempty"`  // Progress, Commit
	Path       string    `json:"path,omitempty"`  // Commit
	Done       bool      `json:"done,omitempty"`  // Progress
	KillBy     time.Time `json:"killBy,omitzero"` // Leave: when the GPUs have to be free at the latest
	Evidence   *Evidence `json:"evidence,omitempty"`
}

// ofGang tells whether an event is about one gang.
func (k Kind) ofGang() bool {
	switch k {
	case Enqueued, Admit, Place, Unplace, Arrive, Progress, SaveBegan, Commit, End, Silence, Heard, Stuck, Leave:
		return true
	default:
		return false
	}
}

// Do is what a command asks for.
type Do string

// The commands. Each is idempotent by its generation.
const (
	Enqueue Do = "enqueue" // into the queue, for the gang of this generation
	Dequeue Do = "dequeue" // out of it, with what it has reserved for that gang
	Bind    Do = "bind"    // the GPUs of the gang, on Nodes nodes
	Start   Do = "start"   // its ranks, all of them
	Open    Do = "open"    // the barrier
	Notify  Do = "notify"  // every rank that it has to go, why, and until when
	SaveNow Do = "save"    // a checkpoint
	Kill    Do = "kill"    // every rank, with all its processes; one that has not started never will
	Release Do = "release" // the GPUs of the gang: no process of it is left
)

// Command is one thing to do next. Whoever carries it out reports what came of it as events.
type Command struct {
	Do         Do        `json:"do"`
	Generation uint64    `json:"generation"`
	Nodes      int       `json:"nodes,omitempty"` // Bind; Enqueue: no other number, if given
	Front      bool      `json:"front,omitempty"` // Enqueue: before those of the same priority
	Avoid      []string  `json:"avoid,omitempty"` // Enqueue: nodes to keep away from
	Cause      Cause     `json:"cause,omitempty"` // Notify
	KillAt     time.Time `json:"killAt,omitzero"` // Notify
}
