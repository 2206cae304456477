package activities

import (
	"context"
	"fmt"
	"io"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/job/contract"
)

// Provider is a world replicas can run in. Implementations: local processes, simulated,
// Kubernetes. Nothing here assumes a local process: a replica is known by its ID only.
//
// Every method is safe for concurrent use, idempotent by the replica's ID, and returns
// within a few seconds; what takes longer is told by Watch.
type Provider interface {
	// Name is "local", "simulated", "kubernetes".
	Name() string
	// Inventory is what there is to place on: devices with node, product, memory, health
	// and foreign holders. Nodes without GPUs are listed by name.
	Inventory(ctx context.Context) (Inventory, error)
	// Start begins a replica and returns once that is under way; readiness comes as an
	// event from the agent. An ID runs at most once: starting one that runs, or that ran and
	// ended by itself, is a no-op. It refuses a start whose Lease.Epoch is older than one seen
	// for the ID ([ErrFenced]), and one for an ID that was stopped before ([ErrStopped]): a
	// late start never revives a released lease. What no retry mends is [ErrBadSpec] or
	// [ErrNoCommand]. A start that failed may be tried again. [ErrNotNow] and
	// [ErrBadSpec] have left nothing behind; after any other failure the replica may be there, in List
	// or not yet, with its GPUs.
	Start(ctx context.Context, r ReplicaSpec) error
	// Stop makes the whole process tree go: at once with grace 0, otherwise asked first and
	// killed after grace; of several graces the earliest end counts. It returns when the asking
	// is under way; the end is told by Watch and List. Stopping what never ran or is gone is a
	// no-op that still forbids a later start. Stops and what they forbid outlive the platform.
	Stop(ctx context.Context, id string, grace time.Duration) error
	// List is what runs now or ended and was not forgotten yet, for adoption after a restart.
	List(ctx context.Context) ([]ReplicaStatus, error)
	// Forget drops what is kept of an ended replica from List; its logs stay for a while, and
	// its ID stays refused. Forgetting what is not gone is [ErrStillRunning], what never ran or
	// was forgotten a no-op.
	Forget(ctx context.Context, id string) error
	// Watch delivers the newest status of every replica in List and then changes, until ctx
	// ends; then the channel is closed. Level-triggered: a reader that falls behind gets the
	// newest status of each replica, never a stale one after a newer.
	Watch(ctx context.Context) (<-chan ReplicaStatus, error)
	// Logs reads the output of a replica, oldest line first: all that is kept, or the last
	// lines. Followed, it ends with the replica or with ctx. Error: [ErrNoReplica].
	Logs(ctx context.Context, id string, o LogOptions) (io.ReadCloser, error)
}

// Renewer is a provider that keeps the tokens of its agents where it can replace them.
type Renewer interface {
	// RenewTokens gives the token of every replica that is not gone to renew, and puts what it
	// returns in its place. The agent uses it from its next connect on.
	RenewTokens(renew func(token string) (string, error)) error
}

// Announcer is a provider that hears of changes of its inventory; others are asked now and then.
type Announcer interface {
	// Changed receives after changes, several of them as one.
	Changed() <-chan struct{}
}

// Inventory is what a provider can place on.
type Inventory struct {
	Nodes   []string
	Devices []scale.Device
}

// ReplicaSpec is all a provider needs to run one replica.
type ReplicaSpec struct {
	ID       string             `json:"id"`
	Key      functions.Key      `json:"key"`
	Revision string             `json:"revision"`
	Spec     functions.Spec     `json:"spec"`
	Lease    scale.Lease        `json:"lease"`
	Gang     *contract.Place    `json:"gang,omitempty"` // a rank's place, without its Dir, which the provider knows; nil: a function's replica
	Agent    events.AgentConfig `json:"agent"`          // credentials and addresses; the provider fills Command, Port, GPUs, files
}

// RunState is where a replica is in its provider's eyes.
type RunState string

// The states. Gone means the whole tree is gone, checked, so the lease may be released.
const (
	RunStarting RunState = "starting"
	RunRunning  RunState = "running"
	RunStopping RunState = "stopping"
	RunGone     RunState = "gone"
	RunUnknown  RunState = "unknown" // its node cannot be reached
)

// ReplicaStatus is what a provider says of one replica.
type ReplicaStatus struct {
	ID       string            `json:"id"`
	Key      functions.Key     `json:"key"`
	Revision string            `json:"revision"`
	Epoch    uint64            `json:"epoch"` // the lease's
	Node     string            `json:"node"`
	State    RunState          `json:"state"`
	Address  string            `json:"address,omitempty"` // of its own, where it has one; else it is its node's
	PID      int               `json:"pid,omitempty"`     // of the agent, where there is one
	Started  time.Time         `json:"started,omitzero"`
	Ended    time.Time         `json:"ended,omitzero"`
	ExitCode int               `json:"exitCode,omitempty"`
	Cause    string            `json:"cause,omitempty"`    // events.Cause…
	Message  string            `json:"message,omitempty"`  // the last lines of its output on a failure
	OOMKills int               `json:"oomKills,omitempty"` // of its processes the kernel killed so many for want of memory, as far as its cgroup counts
	Last     *events.Heartbeat `json:"last,omitempty"`     // the last status the agent left behind
}

// LogOptions choose what of a replica's output is read.
type LogOptions struct {
	Key    functions.Key // whose replica it must be, or there is none; zero: whoever's
	Tail   int           // lines; 0: all
	Follow bool
}

// Allow tells whether the output of a function's replica may be read.
func (o LogOptions) Allow(k functions.Key) bool { return o.Key == functions.Key{} || o.Key == k }

// runStates is what a provider says of all that it knows, by ID.
func runStates(ctx context.Context, p Provider) (map[string]RunState, error) {
	all, err := p.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("look what runs: %w", err)
	}
	out := make(map[string]RunState, len(all))
	for _, s := range all {
		out[s.ID] = s.State
	}
	return out, nil
}

// runState is what a provider says of one replica or rank; what it does not know is gone.
func runState(ctx context.Context, p Provider, id string) (RunState, error) {
	states, err := runStates(ctx, p)
	if s, known := states[id]; known || err != nil {
		return s, err
	}
	return RunGone, nil
}
