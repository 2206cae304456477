package workflows

import (
	"slices"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TaskQueue is the queue the platform's workers poll.
const TaskQueue = "stoker"

// Names on the wire; changing one strands running workflows.
const (
	FunctionWorkflow = "Function"
	UpdateSync       = "sync"
	QueryStatus      = "status"
)

// Search attributes, registered with the server before the first workflow starts.
const (
	AttrNamespace = "StokerNamespace" // Keyword
	AttrFunction  = "StokerFunction"  // Keyword
	AttrPhase     = "StokerPhase"     // Keyword
	AttrGPUs      = "StokerGPUs"      // Int
)

// FunctionWorkflowID names the entity workflow of a function.
func FunctionWorkflowID(k functions.Key) string { return "function/" + k.String() }

// Sync is the one Update of a function's workflow: the newest decision and the replica
// phases observed since the last one. It is level-triggered and idempotent.
type Sync struct {
	Key      functions.Key        `json:"key"`
	Decision scale.Decision       `json:"decision"`
	Deploy   Deploy               `json:"deploy"`
	Observed []ReplicaObservation `json:"observed,omitempty"`
	Adopt    []ReplicaState       `json:"adopt,omitempty"` // living replicas, for a workflow whose history was lost
	Close    bool                 `json:"close,omitempty"` // end the workflow once nothing is left: the function is deleted
}

// Deploy is what is needed to start a replica of the wanted revision.
type Deploy struct {
	Revision string         `json:"revision"`
	Spec     functions.Spec `json:"spec"` // its [Outline]
	Shard    int            `json:"shard"`
	Demand   time.Time      `json:"demand,omitzero"` // when the event that caused the wake was seen, for the receipt
}

// Outline is as much of a spec as a workflow works with: what a replica claims, and its grace.
// Temporal shows histories to everybody who may look and keeps them after the function is gone,
// so the environment, with what it may hold of secrets, and the command are not in them.
func Outline(s functions.Spec) functions.Spec {
	return functions.Spec{Resources: s.Resources, Runtime: functions.Runtime{Drain: s.Runtime.Drain}}
}

// The phases of a replica, in the order they are passed through. They are the agent's own
// words, kept apart so that a change on the wire never touches a replay.
const (
	PhaseStarting = "starting"
	PhaseLoading  = "loading"
	PhaseReady    = "ready"
	PhaseDraining = "draining"
	PhaseStopping = "stopping" // outstayed its grace, being killed
	PhaseExited   = "exited"
)

// PhaseRank orders the phases a replica passes through; it never goes back. What is no phase
// comes before all.
func PhaseRank(phase string) int {
	return slices.Index([]string{
		PhaseStarting, PhaseLoading, PhaseReady,
		PhaseDraining, PhaseStopping, PhaseExited,
	}, phase)
}

// ReplicaObservation is one replica as the controller sees it.
type ReplicaObservation struct {
	ID       string    `json:"id"`
	Phase    string    `json:"phase"`
	Cause    string    `json:"cause,omitempty"`
	ExitCode int       `json:"exitCode,omitempty"`
	At       time.Time `json:"at"`
	ColdMS   int64     `json:"coldMs,omitempty"` // start to ready, once ready
}

// ReplicaState is one replica in the workflow's state.
type ReplicaState struct {
	ID       string    `json:"id"`
	Revision string    `json:"revision"`
	Phase    string    `json:"phase"`
	Since    time.Time `json:"since"`
	Node     string    `json:"node,omitempty"`
	GPUs     int       `json:"gpus"`
	Cause    string    `json:"cause,omitempty"`
	ColdMS   int64     `json:"coldMs,omitempty"`
	KillAt   time.Time `json:"killAt,omitzero"` // when its grace is over
	Doubt    bool      `json:"doubt,omitempty"` // its start may have happened; it is repeated
}

// Status answers a sync and the status query.
type Status struct {
	Epoch    uint64              `json:"epoch"` // of the newest decision accepted
	Phase    string              `json:"phase"`
	Replicas []ReplicaState      `json:"replicas,omitempty"`
	Blocked  string              `json:"blocked,omitempty"` // why a wanted replica did not start: who holds the GPUs
	Failed   []activities.Failed `json:"failed,omitempty"`  // starts refused for good in the last step
	Pending  int                 `json:"pending,omitempty"` // requests that came in while the queue was closing
	Open     bool                `json:"open,omitempty"`    // the function's consumers exist
	Runs     int                 `json:"runs"`              // how often the workflow continued as new
	Trouble  string              `json:"trouble,omitempty"` // the error that ended the last step early; the next sync tries again

	Superseded bool `json:"superseded,omitempty"` // Blocked, since another revision is deployed than the decision names
}
