package scale

import (
	"time"

	"stoker.dev/stoker/functions"
)

// ReplicaPhase is where a replica is in its life, as the controller knows it.
type ReplicaPhase string

// The phases of a replica.
const (
	Starting ReplicaPhase = "starting"
	Ready    ReplicaPhase = "ready"
	Draining ReplicaPhase = "draining"
	Silent   ReplicaPhase = "silent" // no heartbeat for a while: unreachable is not failed
	Gone     ReplicaPhase = "gone"
)

// Replica is one replica in an observation: it holds a lease, or is about to. A replica
// that was wanted and could not be placed is not listed.
type Replica struct {
	ID       string       `json:"id"`
	Revision string       `json:"revision"`
	Phase    ReplicaPhase `json:"phase"`
	Since    time.Time    `json:"since"` // when the phase began
	InFlight int          `json:"inFlight"`
	Served   uint64       `json:"served,omitempty"` // requests it has answered in its life
}

// Exit is one replica that ended without being asked to.
type Exit struct {
	ID       string        `json:"id"`
	Revision string        `json:"revision,omitempty"` // empty: the current one
	Cause    string        `json:"cause"`
	At       time.Time     `json:"at"`
	Ready    bool          `json:"ready"`              // had been ready
	ReadyFor time.Duration `json:"readyFor,omitempty"` // for how long: tells a crash loop from an accident
	Served   uint64        `json:"served"`
	Message  string        `json:"message,omitempty"` // the last lines of its log
}

// Observation is what is known at one moment. Counts with "since the last call" are
// consumed by the call of Decide whose state is kept: hand them over once. Exits are
// told apart by ID, so handing over the same exit twice does no harm.
type Observation struct {
	Pending    map[functions.Class]int `json:"pending,omitempty"`    // stored and not yet taken; what is in flight is not in it
	InFlight   int                     `json:"inFlight"`             // taken and not ended, all replicas
	Refused    int                     `json:"refused,omitempty"`    // answered fail-fast since the last call: somebody asked while phase Failing
	Replicas   []Replica               `json:"replicas,omitempty"`   // sorted by ID
	Exits      []Exit                  `json:"exits,omitempty"`      // new since the last call
	FreeGPUs   int                     `json:"freeGPUs"`             // placeable by this function (Ledger.Fit × GPUs); negative: not known, so not a limit
	Budget     *int                    `json:"budget,omitempty"`     // replicas that its budget allows; nil: not bounded by one
	Share      *int                    `json:"share,omitempty"`      // replicas that it is due while GPUs are short (Shares); nil: they are not
	Holders    []Holder                `json:"holders,omitempty"`    // who holds the rest, for the explanation
	Ended      uint64                  `json:"ended"`                // requests ended since the last call
	ServiceSec float64                 `json:"serviceSec"`           // their service time, summed, seconds
	Late       int                     `json:"late,omitempty"`       // requests that began after waiting longer than the SLO's limit since the last call
	ColdStarts []time.Duration         `json:"coldStarts,omitempty"` // cold starts that became ready since the last call
	Pool       *Habits                 `json:"pool,omitempty"`       // what the functions that share a pool learned (PoolOf); nil: only its own habits count
}

// UnknownGPUs in [Observation.FreeGPUs] says that capacity is not known.
const UnknownGPUs = -1

// Holder is somebody holding GPUs, for explanations.
type Holder struct {
	Who  string `json:"who"` // "function default/x", "foreign pid 123"
	GPUs int    `json:"gpus"`
}
