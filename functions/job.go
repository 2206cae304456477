package functions

import "time"

// KindTrainingJob is the kind of a training job's manifest.
const KindTrainingJob = "TrainingJob"

// TrainingJob is one manifest: a program that trains on a gang of nodes until it is done.
type TrainingJob struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       JobSpec  `json:"spec"`
}

// Key returns the namespace and name of the job.
func (j TrainingJob) Key() Key { return Key{j.Metadata.Namespace, j.Metadata.Name} }

// JobSpec is the content of a training job.
type JobSpec struct {
	Framework    Framework    `json:"framework,omitempty"` // default custom
	Runtime      JobRuntime   `json:"runtime"`
	Resources    JobResources `json:"resources"`
	Elastic      Elastic      `json:"elastic,omitzero"`
	Goal         Goal         `json:"goal,omitzero"`
	Dataset      Dataset      `json:"dataset,omitzero"`
	Checkpoint   Checkpoint   `json:"checkpoint,omitzero"`
	Preemption   Preemption   `json:"preemption"`
	Borrow       Borrow       `json:"borrow,omitzero"`
	Spot         Use          `json:"spot,omitempty"`         // may it run on machines that their owner takes back at any moment; default never
	Priority     int          `json:"priority,omitempty"`     // within its queue, higher first, default 0
	Queue        string       `json:"queue,omitempty"`        // of its namespace, default "default"; a namespace without queues shares one of that name with all others without
	QueueTimeout Duration     `json:"queueTimeout,omitempty"` // from submission to the first admission; default none
	MaxRuntime   Duration     `json:"maxRuntime,omitempty"`   // time its gangs may train, over all attempts: being preempted gives none back; default none
	Deadline     Duration     `json:"deadline,omitempty"`     // from submission to the end, whatever happens; default none
	Retry        Retry        `json:"retry"`
	Stuck        Stuck        `json:"stuck,omitzero"`
	Budget       JobBudget    `json:"budget,omitzero"`
	Notify       []Notice     `json:"notify,omitempty"` // who is told, beside the lifecycle events that everybody can subscribe to
	Placement    Placement    `json:"placement,omitzero"`
}

// Framework chooses the environment by which the processes of a gang find each other.
type Framework string

// The frameworks whose environment is set.
const (
	FrameworkTorch  Framework = "torch"  // MASTER_ADDR, RANK, … and the PET_ variables that torchrun reads
	FrameworkJAX    Framework = "jax"    // JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID
	FrameworkMPI    Framework = "mpi"    // a host file, and the variables by which mpirun finds it
	FrameworkCustom Framework = "custom" // nothing beyond what every job gets
)

// JobRuntime says what runs on each node of the gang, once per node.
type JobRuntime struct {
	Image   string   `json:"image,omitempty"`   // OCI image; needed by providers that run images
	Command []string `json:"command,omitempty"` // in place of the image's entrypoint, as in a Pod: no shell, $(NAME) is a variable's value
	Args    []string `json:"args,omitempty"`    // in place of the image's arguments, in the same way
	Local   *Local   `json:"local,omitempty"`   // needed by the local provider, which runs no images
	Env     []EnvVar `json:"env,omitempty"`     // environment of the program
}

// program is what of it every kind of manifest has.
func (r JobRuntime) program() Runtime {
	return Runtime{Image: r.Image, Command: r.Command, Args: r.Args, Local: r.Local, Env: r.Env}
}

// JobResources is the size of the gang, which starts whole or not at all, and what each node needs.
type JobResources struct {
	Nodes       int      `json:"nodes,omitempty"`     // default 1; left out where elastic or goal chooses the number
	GPUsPerNode int      `json:"gpusPerNode"`         // default 1; 0 is a job without GPUs
	GPUMem      Quantity `json:"gpuMemory,omitempty"` // memory one GPU must have at least, such as 40Gi
	Products    []string `json:"products,omitempty"`  // acceptable GPU products, in order of preference; empty: any
	CPU         Quantity `json:"cpu,omitempty"`       // cores of each node, such as 500m or 2
	Memory      Quantity `json:"memory,omitempty"`    // host memory of each node, such as 8Gi
}

// Elastic lets the platform choose and change the number of nodes: min, min + step, … up to max.
// A change is a checkpoint, an end and a new attempt of the other size.
type Elastic struct {
	Min  int `json:"min,omitempty"`  // default 1
	Max  int `json:"max,omitempty"`  // required with elastic
	Step int `json:"step,omitempty"` // default 1
}

// Goal is when the job should be done, or how fast it should train; with both, it should do both. The
// number of nodes follows from it and from how the job is measured to scale, within elastic if that is
// given. A time or a speed is aimed at and ends nothing; a deadline does. The cost is a bound: the goal is
// missed rather than the cost exceeded, and a job that has used it up ends with its work saved.
type Goal struct {
	FinishBy       Moment   `json:"finishBy,omitempty"`       // a moment such as 2026-12-01T08:00:00Z
	Within         Duration `json:"within,omitempty"`         // from submission
	StepsPerSecond Quantity `json:"stepsPerSecond,omitempty"` // as the program counts steps in its reports
	MaxCost        Quantity `json:"maxCost,omitempty"`        // US dollars in all
}

// By is when a job that was submitted then should be done; the zero time if the goal names no time.
func (g Goal) By(submitted time.Time) time.Time {
	if g.Within > 0 {
		return submitted.Add(g.Within.D())
	}
	return g.FinishBy.Time()
}

// Dataset is what the job trains on. The program reads it; stoker hands its address on.
type Dataset struct {
	URI string `json:"uri,omitempty"` // $DATASET_URI of the program
}

// Resume is what an attempt begins with.
type Resume string

// What an attempt may begin with.
const (
	ResumeAuto  Resume = "auto"  // the newest committed checkpoint, if there is one
	ResumeNever Resume = "never" // nothing: a job that is started again starts over
	ResumeMust  Resume = "must"  // a committed checkpoint has to be there before the first attempt
)

// Checkpoint says where the program saves its work and how often.
type Checkpoint struct {
	URI      string   `json:"uri,omitempty"`      // a directory that every node sees, as file:///path; default: one of the job's own
	Interval Duration `json:"interval,omitempty"` // time between two, which bounds what is lost; default 10m
	Resume   Resume   `json:"resume,omitempty"`   // default auto
	Keep     int      `json:"keep,omitempty"`     // committed checkpoints that are kept, default 3
}

// Preemption says how the job gives way to others.
type Preemption struct {
	Preemptible bool     `json:"preemptible"`          // default true; a job that is not is stopped only by its own limits, lost hardware and people
	Grace       Duration `json:"grace,omitempty"`      // from notice to being killed, default 30s
	MinRuntime  Duration `json:"minRuntime,omitempty"` // an attempt that trains is left alone so long, default 0s
}

// Use is whether something may be used.
type Use string

// Whether something may be used.
const (
	UseNever   Use = "never"
	UseAllowed Use = "allowed"
	UseOnly    Use = "only"
)

// Borrow is the use of GPUs that belong to inference and idle. They are a loan, recalled when
// inference needs them.
type Borrow struct {
	IdleInference      Use `json:"idleInference,omitempty"`      // default never
	MaxGiveBackSeconds int `json:"maxGiveBackSeconds,omitempty"` // from recall to GPUs that are free, in seconds; default: the grace and 5 s
}

// MaxGiveBack is the time from a recall to free GPUs.
func (b Borrow) MaxGiveBack() time.Duration { return time.Duration(b.MaxGiveBackSeconds) * time.Second }

// Retry says how often an attempt that failed is followed by another. Being preempted, recalled or
// resized is no failure and spends nothing.
type Retry struct {
	UserErrors  int       `json:"userErrors,omitempty"` // failures of the program itself that are retried, default 0
	InfraErrors int       `json:"infraErrors"`          // failures of nodes, GPUs, network and storage that are retried, default 10
	ExitCodes   ExitCodes `json:"exitCodes,omitzero"`
	Backoff     Backoff   `json:"backoff,omitzero"`
}

// Stuck is when a gang counts as hung that can be reached and reports nothing new, and what follows. A
// program that never reports is not judged.
type Stuck struct {
	After  Duration    `json:"after,omitempty"`  // without a further step or checkpoint; longer where its steps are; default 30m
	Action StuckAction `json:"action,omitempty"` // default report
}

// StuckAction is what follows when a gang counts as hung.
type StuckAction string

// What may follow.
const (
	StuckReport  StuckAction = "report"  // people are told
	StuckRestart StuckAction = "restart" // and the gang is killed and started again, as after a failure of a machine; not twice at the same step
)

// ExitCodes are what the exit codes of the program mean beside 0, which is done. A program ended
// by a signal is judged by who sent it.
type ExitCodes struct {
	Saved     []int `json:"saved,omitzero"`     // asked to go, its checkpoint is committed; default [75]
	Unsaved   []int `json:"unsaved,omitzero"`   // asked to go, nothing was saved; default [76]
	Permanent []int `json:"permanent,omitzero"` // an error that no further attempt mends; default [77]
	BadConfig []int `json:"badConfig,omitzero"` // its configuration is wrong; default [78]
	Infra     []int `json:"infra,omitzero"`     // its machine failed, as far as the program can tell; default none
}

// JobBudget is what a job may use in all. Once it is spent the job is given notice and fails.
type JobBudget struct {
	MaxGPUHours Quantity `json:"maxGPUHours,omitempty"` // GPUs × hours that its gangs hold them
	MaxCost     Quantity `json:"maxCost,omitempty"`     // US dollars at the prices the platform knows
}

// Notice is one address that is told of the job's life by an HTTP POST of a CloudEvent in binary mode. It
// is tried again for ten minutes while it cannot be reached, and the job waits for none of it.
type Notice struct {
	Webhook string     `json:"webhook"`     // https; it may hold a token and is never shown
	On      []JobEvent `json:"on,omitzero"` // default: the ends [succeeded, failed, timed-out, rejected]
}

// JobEvent is something in the life of a job that people may want to be told of.
type JobEvent string

// What people may want to be told of.
const (
	JobStarted    JobEvent = "started"
	JobPreempted  JobEvent = "preempted"
	JobRetrying   JobEvent = "retrying"
	JobBudgetNear JobEvent = "budget-near" // four fifths of what it may cost are spent
	JobSucceeded  JobEvent = "succeeded"
	JobFailed     JobEvent = "failed"
	JobCancelled  JobEvent = "cancelled"
	JobTimedOut   JobEvent = "timed-out"
	JobRejected   JobEvent = "rejected"
)

// JobEvents lists them in the order of a job's life. The caller owns the slice.
func JobEvents() []JobEvent {
	return []JobEvent{JobStarted, JobPreempted, JobRetrying, JobBudgetNear, JobSucceeded, JobFailed, JobCancelled, JobTimedOut, JobRejected}
}
