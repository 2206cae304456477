package dispatch

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// Bus is the part of [events.Bus] the dispatcher uses.
type Bus interface {
	Emit(ctx context.Context, k functions.Key, kind, what string, data any) error
	OnHeartbeat(f func(functions.Key, events.Heartbeat)) (*events.Subscription, error)
}

// Ledger is the capacity ledger as the dispatcher reads it.
type Ledger interface {
	// Newest is not to be changed, and another one once anything has changed.
	Newest() *scale.Ledger
	Release(ctx context.Context, holder, cause string) error
}

// Spending is the books of GPU time as the dispatcher tells them of jobs.
type Spending interface {
	Tell(h events.Heartbeat)
	// Lend says how many GPUs each owner of leases has on loan from now on.
	Lend(gpus map[string]int)
	// PerHour is what a GPU of a product costs, in USD per hour; false if that is not known.
	PerHour(product string) (float64, bool)
}

// Workflows carry jobs.
type Workflows interface {
	StartJob(ctx context.Context, s workflows.JobState) (bool, error)
	Tell(ctx context.Context, k functions.Key, t workflows.Tell) (workflows.JobStatus, error)
	JobStatus(ctx context.Context, k functions.Key, uid string) (workflows.JobStatus, error)
}

// Options are the dispatcher's parts.
type Options struct {
	Records     events.KV[events.JobRecord]
	State       events.KV[Stored]
	Learned     events.KV[json.RawMessage] // what jobs that ended have taught, and their loans
	Bus         Bus
	Ledger      Ledger
	Workflows   Workflows
	Provider    activities.Provider
	Checkpoints *Checkpoints
	Spending    Spending
	// Spot: the pool's machines are spot, and their owner may take them back at any moment.
	Spot bool
	// Shortage is how many GPUs functions go short of.
	Shortage func() int
	// Claims is told which jobs are about to claim GPUs; may be nil.
	Claims *activities.Burst
	// Guaranteed is how many GPUs training holds by right; below 0: whatever inference leaves.
	Guaranteed int
	// GiveBack is the longest that inference may wait for GPUs it has lent; 0: it does not say.
	GiveBack time.Duration
	Queues   Queues
	Webhooks Webhooks
	Log      *slog.Logger
	Now      func() time.Time // should not jump
}

// Periods and bounds of the dispatcher.
const (
	// tickEvery is how often jobs are looked at without news: GPUs come and go, and loans end.
	tickEvery = time.Second
	// missingEvery is how often the provider is asked whether it still knows every rank.
	missingEvery = 10 * time.Second
	// unknownFor is how long a rank may be in nobody's list before it counts as gone: longer than a
	// workflow tries to start it.
	unknownFor = 40 * time.Second
	// unknownPatience is how long after a start plans wait for jobs of which it is not known yet what they
	// hold. Beyond it the others are planned for.
	unknownPatience = 30 * time.Second
	// planDelay collects what comes together, such as a batch of submissions, into one plan.
	planDelay = 20 * time.Millisecond
	// planPatience bounds the wait of a submission for the plan that says where it stands.
	planPatience = time.Second
	// inboxSize bounds what waits for the loop. Heartbeats beyond it are dropped, which the next mends.
	inboxSize = 4096
	// tellTimeout bounds one Update of a workflow.
	tellTimeout = 30 * time.Second
	// tellBackoffMax bounds the pause after Updates that failed.
	tellBackoffMax = 4 * time.Second
	// maxTelling is how many workflows are told something at a time: as many as the worker polls.
	maxTelling = 16
	// maxStarting is how many workflows are started at a time. They are all that a new job waits for, so there
	// are more of them than of Updates.
	maxStarting = 64
	// maxEvents is how many events go with one Update: a message of the server's has a size.
	maxEvents = 64
	// maxOutput and maxStack bound what is kept of the last words of a rank, in bytes: those of a whole
	// gang have to fit into one message.
	maxOutput = 2 << 10
	maxStack  = 4 << 10
	// commitsEvery is how often a workflow hears of a new checkpoint: a program that commits many a
	// second does not fill its history.
	commitsEvery = time.Second
	// clearEvery is how often checkpoints are cleared that are more than the job keeps.
	clearEvery = 10 * time.Second
	// maxLosses is how many losses are kept of an attempt, for a sparkline: beyond, each second is dropped.
	maxLosses = 64
	// maxAttempts is how many receipts are kept, the newest. What older ones held is in the sums.
	maxAttempts = 64
)
