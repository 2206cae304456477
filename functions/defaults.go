package functions

import "time"

// Defaults, used where a manifest is silent.
const (
	DefaultNamespace        = "default"
	DefaultPool             = "default"
	DefaultGPUs             = 1 // set by Parse alone: a zero in Go is a function without a GPU
	DefaultPath             = "/"
	DefaultReadyPath        = "/health"
	DefaultReadyTimeout     = 5 * time.Minute
	DefaultDrainGrace       = 30 * time.Second
	DefaultMaxReplicas      = 1
	DefaultSlots            = 1
	DefaultWeight           = 1
	DefaultWaitP95          = 10 * time.Second
	DefaultInteractiveDepth = 1000
	DefaultStandardDepth    = 1000
	DefaultBatchDepth       = 10_000
	DefaultDeadline         = 10 * time.Minute
	DefaultAttempts         = 3
	DefaultBackoffInitial   = time.Second
	DefaultBackoffMax       = time.Minute
	DefaultRetention        = time.Hour
)

// Default completes what is zero with the defaults named beside the types' fields. It is
// idempotent. The one default it cannot know is resources.gpus, where zero has a meaning of
// its own: Parse fills it where the manifest is silent.
func Default(f Function) Function {
	setDefault(&f.APIVersion, APIVersion)
	setDefault(&f.Kind, KindFunction)
	setDefault(&f.Metadata.Namespace, DefaultNamespace)
	f.Spec = defaultSpec(f.Spec)
	return f
}

func defaultSpec(s Spec) Spec {
	s.Runtime = defaultRuntime(s.Runtime)
	setDefault(&s.Scaling.Max, DefaultMaxReplicas)
	setDefault(&s.Scaling.Slots, DefaultSlots)
	setDefault(&s.Scaling.Weight, DefaultWeight)
	setDefault(&s.Scaling.WaitSLO, WaitSLO{P95: Duration(DefaultWaitP95)})
	setDefault(&s.Scaling.KeepAlive, KeepAliveAuto)
	if s.Scaling.Budget != (Budget{}) {
		setDefault(&s.Scaling.Budget.Action, BudgetWarn)
	}
	s.Queue = defaultQueue(s.Queue)
	setDefault(&s.Results.Record, RecordAuto)
	setDefault(&s.Results.Retention, Duration(DefaultRetention))
	if s.Overload.Shed == nil { // an empty list is an answer: nothing may be shed
		s.Overload.Shed = []Class{Batch, Standard}
	}
	setDefault(&s.Placement.Pool, DefaultPool)
	return s
}

func defaultRuntime(r Runtime) Runtime {
	setDefault(&r.Protocol, ProtocolHTTP)
	if r.Protocol != ProtocolOpenAI { // there the payload's shape chooses
		setDefault(&r.Path, DefaultPath)
	}
	setDefault(&r.Ready.Path, DefaultReadyPath)
	setDefault(&r.Ready.Timeout, Duration(DefaultReadyTimeout))
	setDefault(&r.Drain.Grace, Duration(DefaultDrainGrace))
	return r
}

func defaultQueue(q Queue) Queue {
	setDefault(&q.Depth.Interactive, DefaultInteractiveDepth)
	setDefault(&q.Depth.Standard, DefaultStandardDepth)
	setDefault(&q.Depth.Batch, DefaultBatchDepth)
	setDefault(&q.Deadline, Duration(DefaultDeadline))
	setDefault(&q.Attempts, DefaultAttempts)
	setDefault(&q.Backoff.Initial, Duration(DefaultBackoffInitial))
	setDefault(&q.Backoff.Max, Duration(DefaultBackoffMax))
	return q
}

// setDefault fills a field that is zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
