package api

import (
	"context"
	"io"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
	"stoker.dev/stoker/scale/jobs/loan"
)

// Jobs is what the dispatcher of training jobs offers to the HTTP side. Errors that people should
// read are *[Error].
type Jobs interface {
	// Submit takes jobs in, all or none. The same submission again gets the same answer.
	Submit(ctx context.Context, js []functions.TrainingJob, from Origin, dryRun bool) ([]Submitted, error)
	Jobs(ctx context.Context, namespace string) ([]Job, error) // "" is every namespace; newest first
	Job(ctx context.Context, k functions.Key) (Job, error)
	// Steer is one of the operations [JobOps] lists.
	Steer(ctx context.Context, k functions.Key, op JobOp) error
	// Remove forgets a job that is at its end, with the checkpoints the platform keeps for it.
	Remove(ctx context.Context, k functions.Key) error
	JobLogs(ctx context.Context, k functions.Key, rank int, o activities.LogOptions) (io.ReadCloser, error)
	// Loans sums up what functions have lent to jobs since a moment.
	Loans(ctx context.Context, since time.Time) (loan.Summary, error)
	// JobQueues are those a namespace's jobs may wait in, or all with "".
	JobQueues(ctx context.Context, namespace string) ([]JobQueue, error)
}

// Origin is who submits: the identity of an event, or a user.
type Origin struct {
	Source, ID string // of the event; empty: it came by the control API
	User       string
	At         time.Time // when the event was stored; zero: now
}

// Submitted is what became of one submission.
type Submitted struct {
	Key      functions.Key `json:"key"`
	UID      string        `json:"uid,omitempty"`
	Action   string        `json:"action"`             // created, unchanged
	Position int           `json:"position,omitempty"` // in its queue, from 1; 0: it has GPUs, or is at its end
	Phase    job.Phase     `json:"phase,omitempty"`
	Warning  string        `json:"warning,omitempty"` // what people should know although it is accepted
}

// JobOp is something that people do to a job.
type JobOp string

// What people do to a job.
const (
	JobCancel     JobOp = "cancel"
	JobPause      JobOp = "pause"
	JobResume     JobOp = "resume"
	JobCheckpoint JobOp = "checkpoint"
)

// JobOps lists them. The caller owns the slice.
func JobOps() []JobOp { return []JobOp{JobCancel, JobPause, JobResume, JobCheckpoint} }

// SteerRequest does something to a job.
type SteerRequest struct {
	Op JobOp `json:"op"`
}

// Job is a training job and how it is.
type Job struct {
	Key        functions.Key `json:"key"`
	UID        string        `json:"uid"`
	Phase      job.Phase     `json:"phase"`
	Cause      job.Cause     `json:"cause"`
	Meaning    string        `json:"meaning"` // of the cause, for people
	Since      time.Time     `json:"since"`
	Submitted  time.Time     `json:"submitted"`
	Admitted   time.Time     `json:"admitted,omitzero"` // for the first time
	User       string        `json:"user,omitempty"`
	Queue      string        `json:"queue"`
	Priority   int           `json:"priority,omitempty"`
	Generation uint64        `json:"generation"`
	Attempt    int           `json:"attempt"`
	Nodes      int           `json:"nodes"` // that it holds; 0: none
	GPUs       int           `json:"gpus"`  // that it holds
	Sizes      []int         `json:"sizes"` // in nodes, that its gang may have
	PerNode    int           `json:"gpusPerNode"`
	Lent       int           `json:"lent,omitempty"` // of GPUs, on loan to it

	Progress Progress     `json:"progress,omitzero"`
	Saved    job.Saved    `json:"saved,omitzero"`
	Resumed  string       `json:"resumed,omitempty"` // the checkpoint the newest gang began with
	Used     job.Used     `json:"used,omitzero"`
	Last     *job.Verdict `json:"last,omitempty"` // on the last gang that ended
	Time     JobTime      `json:"time"`
	Attempts []Attempt    `json:"attempts,omitempty"` // newest last
	Ranks    []Rank       `json:"ranks,omitempty"`
	Waiting  *Waiting     `json:"waiting,omitempty"`
	Goal     *Goal        `json:"goal,omitempty"`
	Stuck    *Stuck       `json:"stuck,omitempty"`
	Trouble  string       `json:"trouble,omitempty"`

	Manifest functions.TrainingJob `json:"manifest"`
	Workflow string                `json:"workflow"` // its ID in Temporal
}

// Progress is what the program last reported.
type Progress struct {
	Generation uint64    `json:"generation,omitempty"` // of the gang that reported it
	Step       int64     `json:"step"`
	Loss       *float64  `json:"loss,omitempty"`
	Diverged   bool      `json:"diverged,omitempty"`
	Percent    float64   `json:"percent,omitempty"`
	ETASec     float64   `json:"etaSeconds,omitempty"`
	At         time.Time `json:"at,omitzero"`      // by the clock of the rank's node
	Losses     []float64 `json:"losses,omitempty"` // some of those reported, oldest first
}

// Attempt is the receipt of one gang.
type Attempt struct {
	Generation uint64    `json:"generation"`
	Nodes      int       `json:"nodes"`
	Placed     time.Time `json:"placed"`            // its GPUs were bound
	Started    time.Time `json:"started,omitzero"`  // it passed the barrier
	Noticed    time.Time `json:"noticed,omitzero"`  // it was told to go
	Released   time.Time `json:"released,omitzero"` // its GPUs were free again; zero: it holds them
	Asked      job.Cause `json:"asked,omitempty"`   // what it was told to go for
	Class      job.Class `json:"class,omitempty"`   // what its end was
	SavedAt    time.Time `json:"savedAt,omitzero"`  // its newest committed checkpoint
	SavedStep  int64     `json:"savedStep,omitempty"`
	Step       int64     `json:"step,omitempty"` // the last that was reported
	Resumed    string    `json:"resumed,omitempty"`
	Lent       int       `json:"lent,omitempty"`       // GPUs of it that were on loan
	Redeemed   time.Time `json:"redeemed,omitzero"`    // own GPUs took the place of those
	Product    string    `json:"product,omitempty"`    // of its GPUs
	PerHour    float64   `json:"usdPerHour,omitempty"` // of one of them; 0: not known
}

// Goal is what a job is sized for, and what is expected of that.
type Goal struct {
	By             time.Time         `json:"by,omitzero"` // it is to be done then
	StepsPerSecond float64           `json:"stepsPerSecond,omitempty"`
	MaxUSD         float64           `json:"maxUSD,omitempty"` // bound of its cost
	USD            float64           `json:"usd,omitempty"`    // what it has cost
	Nodes          int               `json:"nodes"`            // that were chosen
	Reason         jobs.ChoiceReason `json:"reason"`
	Meaning        string            `json:"meaning"`          // of the reason, for people
	Basis          jobs.Basis        `json:"basis"`            // what the speed of that size is told from
	Done           time.Time         `json:"done,omitzero"`    // when it is expected to be done; zero: nobody knows
	Misses         bool              `json:"misses"`           // the goal is expected to be missed
	Speeds         []jobs.Speed      `json:"speeds,omitempty"` // by nodes, as measured
}

// Stuck is a gang that counts as hung: all of it can be reached, and it reports nothing new.
type Stuck struct {
	Since    time.Time             `json:"since"` // it last moved then
	Step     int64                 `json:"step"`
	Action   functions.StuckAction `json:"action"`
	Evidence []string              `json:"evidence"`
}

// JobTime says what the GPU-seconds of a job went into; the parts add up to Held.
type JobTime struct {
	Held   float64 `json:"held"`
	Useful float64 `json:"useful"`         // trained, and kept: committed, finished, or still at work
	Lost   float64 `json:"lost"`           // trained, and to be done again
	Start  float64 `json:"start"`          // until the barrier was passed
	Drain  float64 `json:"drain"`          // from the notice until the GPUs were free
	Lent   float64 `json:"lent,omitempty"` // of Held, on GPUs that were on loan to it
	ETTR   float64 `json:"ettr"`           // effective training time ratio: useful of held, 0 to 1
	USD    float64 `json:"usd"`            // what it cost; attempts on GPUs without a price count as nothing
}

// Rank is one process tree of a gang.
type Rank struct {
	ID    string    `json:"id"`
	Rank  int       `json:"rank"`
	Node  string    `json:"node,omitempty"`
	State string    `json:"state"` // starting, waiting at the barrier, running, leaving, gone, out of reach
	PID   int       `json:"pid,omitempty"`
	Step  int64     `json:"step,omitempty"`
	Heard time.Time `json:"heard,omitzero"`
}

// Waiting is why a job waits.
type Waiting struct {
	Position int       `json:"position"` // from 1
	Block    string    `json:"block"`
	Meaning  string    `json:"meaning"`
	Lacks    int       `json:"lacks,omitempty"` // GPUs
	Holders  []string  `json:"holders,omitempty"`
	Start    time.Time `json:"start,omitzero"` // estimate; zero: nobody knows
	Queue    JobQueue  `json:"queue"`
}

// JobQueue is a queue of training jobs and how it stands.
type JobQueue struct {
	Namespace  string  `json:"namespace,omitempty"` // whose jobs wait in it; empty: every namespace's without a queue of its own
	Name       string  `json:"name"`
	Guaranteed int     `json:"guaranteed"`
	Max        int     `json:"max,omitempty"` // GPUs that it may hold; 0: no limit
	Weight     int     `json:"weight"`
	Held       int     `json:"held"`           // GPUs that are training's own
	Lent       int     `json:"lent,omitempty"` // GPUs on loan from inference, which count for nothing but use
	Running    int     `json:"running"`        // jobs that hold GPUs
	Waiting    int     `json:"waiting"`        // jobs that wait for GPUs
	GPUHours   float64 `json:"gpuHoursOfLate"` // that it has used; older ones count less, see HalfLife
	HalfLife   string  `json:"halfLife"`       // after so long what was used counts half
}

// String is how people name the queue.
func (q JobQueue) String() string {
	if q.Namespace == "" {
		return q.Name
	}
	return q.Namespace + "/" + q.Name
}
