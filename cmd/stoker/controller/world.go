package controller

import (
	"context"
	"log/slog"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/capacity"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/spending"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
	"stoker.dev/stoker/workflows"
)

// Bus is the part of [events.Bus] the controller uses.
type Bus interface {
	DeployAll(ctx context.Context, keys []functions.Key, shard int) error
	Retire(ctx context.Context, k functions.Key, shard int) (int, error)
	Undeploy(ctx context.Context, k functions.Key, shard int) error
	Pending(ctx context.Context, shard int) (map[functions.Key]map[functions.Class]uint64, error)
	Peek(ctx context.Context, shard int, k functions.Key, c functions.Class, from uint64) (events.Request, error)
	Remove(ctx context.Context, shard int, seq uint64) error
	Delivered(ctx context.Context, k functions.Key, shard int, c functions.Class) (uint64, error)
	Ended(ctx context.Context, r events.Request) (bool, error)
	WriteRecord(ctx context.Context, rec events.Record, retention time.Duration) (events.Record, error)
	Reply(to string, rec events.Record) error
	CountDead(ctx context.Context, k functions.Key) (int, error)
	Emit(ctx context.Context, k functions.Key, kind, what string, data any) error
	OnWake(k functions.Key, f func(events.Wake)) (*events.Subscription, error)
	OnHeartbeat(f func(functions.Key, events.Heartbeat)) (*events.Subscription, error)
	Flush(ctx context.Context) error
}

var _ Bus = (*events.Bus)(nil)

// Ledger is the capacity ledger as the controller reads and mends it.
type Ledger interface {
	Snapshot() scale.Ledger
	// Newest is the same, not to be changed, and another one once anything has changed.
	Newest() *scale.Ledger
	Release(ctx context.Context, holder, cause string) error
	SetInventory(ctx context.Context, inv activities.Inventory) error
	Adopt(ctx context.Context, running []activities.ReplicaStatus) (capacity.Drift, error)
}

// Workflows carries decisions out.
type Workflows interface {
	// Sync is one Update; it returns when the step is settled.
	Sync(ctx context.Context, s workflows.Sync) (workflows.Status, error)
	// Status asks a running workflow; [workflows.ErrNotRunning] when there is none.
	Status(ctx context.Context, k functions.Key) (workflows.Status, error)
}

// Spending keeps the books of the pool's GPU time.
type Spending interface {
	Tell(h events.Heartbeat)
	Allowance(k functions.Key, s functions.Spec) spending.Allowance
	Forget(k functions.Key)
	Report(ctx context.Context, since time.Time, by cost.By, see func(namespace string) bool) (cost.Report, error)
}

var _ Spending = (*spending.Keeper)(nil)

// Options are the controller's parts.
type Options struct {
	Functions events.KV[events.FunctionRecord]
	State     events.KV[Stored]
	Bus       Bus
	Ledger    Ledger
	Workflows Workflows
	Provider  activities.Provider
	Spending  Spending
	Burst     *activities.Burst // told which starts are coming; may be nil
	Pool      string            // the one pool's name
	Log       *slog.Logger
	Now       func() time.Time    // what is measured goes by it: it should not jump
	Wall      func() time.Time    // the deadlines that publishers set go by it; nil: Now
	Info      func() api.Platform // what the platform knows of itself: version, addresses
	// OnShortage is told when [Controller.Shortage] has changed; it must not block. nil: nobody is.
	OnShortage func()
	// Decided is told of every decision and what it was made of, by the loop; nil: nobody is.
	Decided func(functions.Key, scale.Question, scale.Decision)
}

// Stored is what key-value holds of a function's scaling: the memory of its decisions and the
// GPU time it used.
type Stored struct {
	State   scale.State    `json:"state"`
	Split   api.Split      `json:"split"` // of replicas that are gone
	Served  uint64         `json:"served"`
	Failed  uint64         `json:"failed"`
	Cold    *api.ColdStart `json:"cold,omitempty"`
	Failure *api.Failure   `json:"failure,omitempty"`
}
