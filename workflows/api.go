package workflows

import (
	"time"

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
	Adopt    []ReplicaState       `json:"adopt,omitempty"` // running replicas the workflow does not know (Temporal's file was lost)
}

// Deploy is what is needed to start a replica of the wanted revision.
type Deploy struct {
	Revision string         `json:"revision"`
	Spec     functions.Spec `json:"spec"`
	Shard    int            `json:"shard"`
	Demand   time.Time      `json:"demand,omitzero"` // when the event that caused the wake was seen, for the receipt
}

// ReplicaObservation is one replica as the controller sees it.
type ReplicaObservation struct {
	ID       string    `json:"id"`
	Phase    string    `json:"phase"` // events.Phase: ready, draining, exited (gone)
	Cause    string    `json:"cause,omitempty"`
	Message  string    `json:"message,omitempty"`
	ExitCode int       `json:"exitCode,omitempty"`
	At       time.Time `json:"at"`
	ColdMS   int64     `json:"coldMs,omitempty"` // start to ready, once ready
}

// ReplicaState is one replica in the workflow's state.
type ReplicaState struct {
	ID       string    `json:"id"`
	Revision string    `json:"revision"`
	Phase    string    `json:"phase"` // starting, loading, ready, draining, stopping, exited
	Since    time.Time `json:"since"`
	Node     string    `json:"node,omitempty"`
	GPUs     int       `json:"gpus"`
	Cause    string    `json:"cause,omitempty"`
	ColdMS   int64     `json:"coldMs,omitempty"`
}

// Status answers a sync and the status query.
type Status struct {
	Epoch    uint64         `json:"epoch"` // of the newest decision accepted
	Phase    string         `json:"phase"`
	Replicas []ReplicaState `json:"replicas,omitempty"`
	Blocked  string         `json:"blocked,omitempty"` // why a wanted replica did not start (no capacity and who holds it)
	Pending  int            `json:"pending,omitempty"` // found by the last CloseQueue: requests came in while closing
}
