package scale

import (
	"time"

	"stoker.dev/stoker/functions"
)

// CONTRACT: the owner of scale/ splits this file into one file per idea (spec.go, state.go,
// observation.go, decision.go, reason.go, ledger.go, …) keeping the exported names.

// Spec is what Decide needs to know of a function's manifest.
type Spec struct {
	Revision  string                  `json:"revision"`
	Min, Max  int                     // replicas
	Slots     int                     // requests a replica takes at a time
	Wait      time.Duration           // the wait SLO's limit
	WaitAt    float64                 // the wait SLO's percentile, 0 < p < 1
	KeepAlive time.Duration           // negative: auto
	GPUs      int                     // per replica
	Grace     time.Duration           // drain
	Depth     map[functions.Class]int // queue bounds
	Paused    bool
	Deleting  bool
	Pinned    *int // replicas asked for by hand; nil: scale by demand
}

// SpecOf extracts it from a defaulted manifest.
// func SpecOf(f functions.Function, revision string) Spec

// ReplicaPhase is where a replica is in its life, as the controller knows it.
type ReplicaPhase string

const (
	Starting ReplicaPhase = "starting"
	Ready    ReplicaPhase = "ready"
	Draining ReplicaPhase = "draining"
	Silent   ReplicaPhase = "silent" // no heartbeat for a while: unreachable is not failed
	Gone     ReplicaPhase = "gone"
)

// Replica is one replica in an observation.
type Replica struct {
	ID       string       `json:"id"`
	Revision string       `json:"revision"`
	Phase    ReplicaPhase `json:"phase"`
	Since    time.Time    `json:"since"`
	InFlight int          `json:"inFlight"`
}

// Exit is one replica that ended without being asked to.
type Exit struct {
	ID      string    `json:"id"`
	Cause   string    `json:"cause"`
	At      time.Time `json:"at"`
	Ready   bool      `json:"ready"` // had been ready, for how long tells a crash loop from an accident
	Served  uint64    `json:"served"`
	Message string    `json:"message,omitempty"`
}

// Observation is what is known at one moment.
type Observation struct {
	Pending    map[functions.Class]int `json:"pending,omitempty"` // stored and not yet taken (in flight not included when known)
	InFlight   int                     `json:"inFlight"`
	Replicas   []Replica               `json:"replicas,omitempty"`   // sorted by ID
	Exits      []Exit                  `json:"exits,omitempty"`      // new since the last call
	FreeGPUs   int                     `json:"freeGPUs"`             // in the function's pool, usable by it
	Holders    []Holder                `json:"holders,omitempty"`    // who holds the rest, for the explanation
	Ended      uint64                  `json:"ended"`                // requests ended since the last call
	ServiceSec float64                 `json:"serviceSec"`           // their service time, summed
	ColdStarts []time.Duration         `json:"coldStarts,omitempty"` // cold starts that became ready since the last call
}

// Holder is somebody holding GPUs, for explanations.
type Holder struct {
	Who  string `json:"who"` // "function default/x", "foreign pid 123"
	GPUs int    `json:"gpus"`
}

// Decision: target + reason + inputs.
type Decision struct {
	Epoch    uint64        `json:"epoch"` // grows with every change of the decision
	At       time.Time     `json:"at"`
	Target   int           `json:"target"` // replicas wanted, of Revision, beyond Keep of older revisions
	Revision string        `json:"revision"`
	Victims  []string      `json:"victims,omitempty"` // replica IDs to drain now (scale-in, old revisions), chosen here
	Reason   Reason        `json:"reason"`
	Limit    Reason        `json:"limit,omitempty"` // why not more (max, no-gpu, backoff, paused …); empty: nothing held it back
	Wanted   int           `json:"wanted"`          // before limits
	Inputs   Inputs        `json:"inputs"`
	Phase    FunctionPhase `json:"phase"`
	Next     time.Time     `json:"next,omitzero"` // Decide again no later than this; zero: only on new input
}

// Inputs are the numbers a decision was computed from.
type Inputs struct {
	Pending, InFlight, Ready, Starting, Draining, Silent, FreeGPUs, Slots, Min, Max int
	ServiceSec                                                                      float64 // estimate used, seconds
	ColdStartSec                                                                    float64 // estimate used, seconds
	IdleSec                                                                         float64
	KeepAliveSec                                                                    float64
	WaitSLOSec                                                                      float64
	Failures                                                                        int     // consecutive
	BackoffSec                                                                      float64 // left
}

// FunctionPhase is how a function is, in one word, for people and search attributes.
type FunctionPhase string

const (
	PhaseZero     FunctionPhase = "Zero"
	PhaseWaking   FunctionPhase = "Waking"
	PhaseServing  FunctionPhase = "Serving"
	PhaseIdle     FunctionPhase = "Idle"
	PhaseDraining FunctionPhase = "Draining"
	PhaseWaiting  FunctionPhase = "Waiting" // wants a GPU, none is free
	PhaseFailing  FunctionPhase = "Failing"
	PhasePaused   FunctionPhase = "Paused"
	PhaseDeleting FunctionPhase = "Deleting"
)

// Reason is a closed set.
type Reason string

const (
	ReasonNone         Reason = ""
	ReasonWakeFromZero Reason = "wake-from-zero"
	ReasonBacklog      Reason = "backlog" // more replicas, the backlog breaks the wait SLO
	ReasonSteady       Reason = "steady"
	ReasonKeepAlive    Reason = "keep-alive" // idle, held warm
	ReasonIdle         Reason = "idle"       // keep-alive over: fewer replicas
	ReasonMinReplicas  Reason = "min-replicas"
	ReasonMaxReplicas  Reason = "max-replicas"
	ReasonNoGPU        Reason = "no-gpu"
	ReasonReplace      Reason = "replace-lost" // a replica ended unasked, another takes its place
	ReasonRollout      Reason = "rollout"
	ReasonBackoff      Reason = "backoff"
	ReasonFailing      Reason = "failing"
	ReasonPaused       Reason = "paused"
	ReasonDeleting     Reason = "deleting"
	ReasonPinned       Reason = "pinned"
)

// State is what Decide remembers; it round-trips through JSON.
type State struct {
	Version int      `json:"version"`
	Epoch   uint64   `json:"epoch"`
	Last    Decision `json:"last"`
	// the owner adds windows, estimates, failures, idle-since, …
}

// func Decide(spec Spec, s State, obs Observation, now time.Time) (State, Decision)
// Same decision (all but At/Inputs equal) keeps its Epoch; a change of Target, Revision, Victims, Reason-class or Phase raises it.

// ---- ledger -------------------------------------------------------------------------------

// LeaseState is where a claim on GPUs is.
type LeaseState string

const (
	Reserved LeaseState = "reserved"
	Bound    LeaseState = "bound"
	Drain    LeaseState = "draining"
	Unknown  LeaseState = "unknown"
	Released LeaseState = "released" // kept as a tombstone for a while: it refuses a late start
)

// Lease is a holder's claim on GPUs of one node.
type Lease struct {
	Holder  string     `json:"holder"` // replica ID
	Owner   string     `json:"owner"`  // "function default/tinylm"
	Node    string     `json:"node"`
	Devices []string   `json:"devices"` // device IDs held
	State   LeaseState `json:"state"`
	Epoch   uint64     `json:"epoch"` // fences: a start with an older epoch is refused
	Since   time.Time  `json:"since"`
	Expires time.Time  `json:"expires,omitzero"` // reserved only
	Cause   string     `json:"cause,omitempty"`
}

// Device is one GPU a pool owns.
type Device struct {
	ID      string `json:"id"` // UUID or "sim-0"
	Node    string `json:"node"`
	Product string `json:"product"`
	Memory  uint64 `json:"memory"` // bytes
	Healthy bool   `json:"healthy"`
	Foreign string `json:"foreign,omitempty"` // held by something that is not ours
}

// Ask is a wish for GPUs.
type Ask struct {
	Holder   string   `json:"holder"`
	Owner    string   `json:"owner"`
	GPUs     int      `json:"gpus"`
	Products []string `json:"products,omitempty"`
	Memory   uint64   `json:"memory,omitempty"` // bytes per GPU at least
}

// Ledger: pure value. Methods return a new Ledger or change a copy; the owner decides, keeping:
//
//	(l *Ledger) SetDevices(node string, devices []Device, now)       // inventory; a vanished node → leases unknown; a returned node → bound again
//	(l *Ledger) Reserve(ask Ask, ttl time.Duration, now) (Lease, error)    // idempotent by Holder; ErrNoCapacity (with holders), ErrTombstone
//	(l *Ledger) Bind(holder string, epoch uint64, now) error
//	(l *Ledger) MarkDraining(holder string, now) error
//	(l *Ledger) Release(holder, cause string, now) error            // idempotent, leaves a tombstone
//	(l *Ledger) Expire(now) []Lease                                 // reservations past Expires → tombstones
//	(l *Ledger) NodeLost(node, now), NodeFound(node, now), Fence(node, now)
//	(l Ledger) Usage() Usage{Capacity, Reserved, Bound, Draining, Unknown, Foreign, Free}, (l Ledger) Free(products, memory) int, (l Ledger) Holders() []Holder
//	(l Ledger) Check() error                                        // invariants: reserved ≤ capacity, a device has one holder
type Ledger struct {
	Devices []Device `json:"devices"`
	Leases  []Lease  `json:"leases"`
	Epoch   uint64   `json:"epoch"`
}
