package job

import (
	"slices"
	"time"

	"stoker.dev/stoker/functions"
)

// Limits of the lifecycle.
const (
	// BarrierTimeout is how long the ranks of a gang wait for each other.
	BarrierTimeout = functions.BarrierTimeout
	// MaxAvoided is the number of nodes that a job keeps away from, the newest of those at fault.
	MaxAvoided = 16
	// maxDoubling ends the doubling of pauses where the longest one is reached in any case.
	maxDoubling = 30
)

// State is all that is remembered of a job. It is a value: Step returns another one and leaves its
// argument as it is, and its JSON is what a workflow carries from run to run.
type State struct {
	Phase      Phase     `json:"phase"`
	Cause      Cause     `json:"cause"`              // why it is in this phase
	Since      time.Time `json:"since"`              // when it came into it
	Submitted  time.Time `json:"submitted"`          //
	Admitted   time.Time `json:"admitted,omitzero"`  // for the first time
	Generation uint64    `json:"generation"`         // of the gang that runs, or of the one that is waited for; never used twice
	Attempts   int       `json:"attempts,omitempty"` // gangs that were started
	Wanted     int       `json:"wanted,omitempty"`   // nodes that were asked for by a resize; 0: any size the manifest allows
	Gang       *Gang     `json:"gang,omitempty"`     // that holds GPUs; nil: none does
	Used       Used      `json:"used,omitzero"`
	Saved      Saved     `json:"saved,omitzero"` // the newest committed checkpoint
	Last       Verdict   `json:"last,omitzero"`  // on the last gang that ended
	Avoid      []string  `json:"avoid,omitempty"`
	RetryAt    time.Time `json:"retryAt,omitzero"` // while recovering
}

// Gang is one attempt: ranks that start together and end together.
type Gang struct {
	Nodes   int       `json:"nodes"`            // one rank on each
	Placed  time.Time `json:"placed,omitzero"`  // its ranks were told to start
	Started time.Time `json:"started,omitzero"` // it passed the barrier
	Step    int64     `json:"step,omitempty"`   // the last that was reported
	Done    bool      `json:"done,omitempty"`   // it reported to be finished
	Ranks   []Rank    `json:"ranks,omitempty"`  // one for each node once placed
	Ask     Ask       `json:"ask,omitzero"`     // what it was told to go for
}

// Rank is one process tree of a gang.
type Rank struct {
	Arrived bool      `json:"arrived,omitempty"` // at the barrier
	Silent  time.Time `json:"silent,omitzero"`   // out of reach since; that by itself means nothing
	End     *Evidence `json:"end,omitempty"`     // its process tree is gone
}

// Ask is a gang being told to go.
type Ask struct {
	Cause  Cause     `json:"cause,omitempty"`
	At     time.Time `json:"at,omitzero"`
	KillAt time.Time `json:"killAt,omitzero"` // when its grace is over
	Killed bool      `json:"killed,omitempty"`
}

// Used is what of its budgets a job has spent.
type Used struct {
	User       int           `json:"user,omitempty"`       // retries after failures of the program
	Infra      int           `json:"infra,omitempty"`      // retries after failures of machines
	InARow     int           `json:"inARow,omitempty"`     // retries since a gang has committed a checkpoint
	Anew       bool          `json:"anew,omitempty"`       // pauses count those in a row; without it, as jobs began earlier, all retries
	Ran        time.Duration `json:"ran,omitempty"`        // gangs that ended trained for so long
	GPUSeconds int64         `json:"gpuSeconds,omitempty"` // GPUs × seconds that gangs that ended held them
}

// Saved is a committed checkpoint.
type Saved struct {
	Path       string    `json:"path,omitempty"`
	Step       int64     `json:"step,omitempty"`
	At         time.Time `json:"at,omitzero"`          // when it was committed
	Generation uint64    `json:"generation,omitempty"` // of the gang that wrote it
}

// New is a job whose manifest is valid, and what to do first.
func New(now time.Time) (State, []Command) {
	s := State{Phase: Validated, Cause: CauseSubmitted, Since: now, Submitted: now, Generation: 1, Used: Used{Anew: true}}
	return s, []Command{{Do: Enqueue, Generation: s.Generation}}
}

// clone is a copy that shares nothing that Step changes.
func (s State) clone() State {
	s.Avoid = slices.Clone(s.Avoid)
	if s.Gang != nil {
		g := *s.Gang
		g.Ranks = slices.Clone(g.Ranks) // ends are never changed, only replaced
		s.Gang = &g
	}
	return s
}

// gone tells whether every rank's process tree is gone.
func (g *Gang) gone() bool {
	return !slices.ContainsFunc(g.Ranks, func(r Rank) bool { return r.End == nil })
}

// ran is how long the gang has trained so far.
func (g *Gang) ran(now time.Time) time.Duration { return since(g.Started, now) }

// held is how long the gang has been placed so far.
func (g *Gang) held(now time.Time) time.Duration { return since(g.Placed, now) }

// gpus is the number of GPUs that the gang holds.
func (g *Gang) gpus(spec functions.JobSpec) int64 {
	return int64(g.Nodes) * int64(spec.Resources.GPUsPerNode)
}

// since is the time from a moment that may not have come yet; never negative, clocks being clocks.
func since(t, now time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t))
}

// left tells whether a job has a retry left after a failure.
func (u Used) left(b Budget, r functions.Retry) bool {
	switch b {
	case SpendsUser:
		return u.User < r.UserErrors
	case SpendsInfra:
		return u.Infra < r.InfraErrors
	default:
		return true
	}
}

// spend counts a retry.
func (u *Used) spend(b Budget) {
	switch b {
	case SpendsUser:
		u.User++
	case SpendsInfra:
		u.Infra++
	case SpendsNothing:
	}
}
