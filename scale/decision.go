package scale

import "time"

// Decision is a target, its reason and the inputs it was computed from.
//
// What must be done with it: have Target replicas of Revision that are not victims
// running, drain every replica named in Victims, and leave all others alone. A replica of
// another revision that is no victim still serves.
type Decision struct {
	Epoch    uint64        `json:"epoch"` // grows with every change of Target, Revision, Victims, Reason or Phase
	At       time.Time     `json:"at"`
	Target   int           `json:"target"` // replicas wanted of Revision
	Revision string        `json:"revision"`
	Victims  []string      `json:"victims,omitempty"` // replica IDs to drain, sorted; named until they are gone
	Reason   Reason        `json:"reason"`
	Limit    Reason        `json:"limit,omitempty"` // why not more (max, no-gpu, backoff, paused …); empty: nothing held it back
	Wanted   int           `json:"wanted"`          // replicas wanted by demand, before any limit
	Inputs   Inputs        `json:"inputs"`
	Phase    FunctionPhase `json:"phase"`
	Next     time.Time     `json:"next,omitzero"` // Decide again no later than this; zero: only on new input
}

// Inputs are the numbers a decision was computed from. Replica counts are of all
// revisions; a named victim counts as draining.
type Inputs struct {
	Pending      int      `json:"pending"`
	Coming       int      `json:"coming,omitempty"` // expected to wait too when the first replica is ready, and to be late unless they begin then
	InFlight     int      `json:"inFlight"`
	Ready        int      `json:"ready"`
	Starting     int      `json:"starting"`
	Draining     int      `json:"draining"`
	Silent       int      `json:"silent"`
	Aside        int      `json:"aside,omitempty"` // of the silent ones, set aside: kept, not counted on
	Outdated     int      `json:"outdated,omitempty"`
	FreeGPUs     int      `json:"freeGPUs"` // negative: not known
	Slots        int      `json:"slots"`
	Min          int      `json:"min"`
	Max          int      `json:"max"`
	Budget       *int     `json:"budget,omitempty"` // replicas that the budget allows; nil: not bounded by one
	Share        *int     `json:"share,omitempty"`  // replicas that it is due while GPUs are short; nil: they are not
	ServiceSec   float64  `json:"serviceSec"`       // estimate used, seconds
	ColdStartSec float64  `json:"coldStartSec"`     // estimate used, seconds
	IdleSec      float64  `json:"idleSec"`
	KeepAliveSec float64  `json:"keepAliveSec"`
	WaitSLOSec   float64  `json:"waitSLOSec"`
	ArrivalsSec  float64  `json:"arrivalsSec,omitempty"`   // smoothed, per second
	PriceSec     float64  `json:"priceSec,omitempty"`      // of a late request, GPU-seconds
	Racing       int      `json:"racing,omitempty"`        // started beyond those needed, so that one is ready in time
	ExpectFrom   float64  `json:"expectFromSec,omitempty"` // when the next request is expected at the earliest, seconds of idleness; 0: nothing is expected
	ExpectTo     float64  `json:"expectToSec,omitempty"`   // and at the latest
	ExpectSure   float64  `json:"expectSure,omitempty"`    // how likely that is
	Peak         int      `json:"peak"`                    // most replicas wanted within ScaleInWindow
	Failures     int      `json:"failures"`                // consecutive
	BackoffSec   float64  `json:"backoffSec"`              // left
	Holders      []Holder `json:"holders,omitempty"`       // who holds GPUs, when none was free; at most MaxHolders
}

// MaxHolders bounds the holders kept with a decision: enough to act on, small enough to
// be carried in every Update.
const MaxHolders = 8

// FunctionPhase is how a function is, in one word, for people and search attributes.
type FunctionPhase string

// The phases of a function.
const (
	PhaseZero     FunctionPhase = "Zero"     // no replica, nothing wanted
	PhaseWaking   FunctionPhase = "Waking"   // replicas wanted or starting, none serves yet
	PhaseServing  FunctionPhase = "Serving"  // at least one replica serves
	PhaseIdle     FunctionPhase = "Idle"     // replicas held warm, no request for IdleAfter
	PhaseDraining FunctionPhase = "Draining" // going to zero, replicas are left
	PhaseWaiting  FunctionPhase = "Waiting"  // wants a GPU, none is free or paid for, nothing serves
	PhaseFailing  FunctionPhase = "Failing"  // replicas keep crashing and none serves: the queue answers fail fast
	PhasePaused   FunctionPhase = "Paused"
	PhaseDeleting FunctionPhase = "Deleting"
)
