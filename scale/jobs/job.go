package jobs

import (
	"time"

	"stoker.dev/stoker/functions"
)

// Job is what a scheduler knows of a job that was submitted and has not ended. How long it will
// run is not among it. Only ID, GPUs and Submitted are needed; what is left out binds nobody.
type Job struct {
	ID    string `json:"id"`
	Queue string `json:"queue,omitempty"` // that of a snapshot with queues
	User  string `json:"user,omitempty"`
	Name  string `json:"name,omitempty"`  // jobs of one name are runs of one program
	GPUs  int    `json:"gpus"`            // that it holds, or of the smallest gang that it waits for
	Ranks int    `json:"ranks,omitempty"` // of that gang, each on one node and with as many GPUs; 0: 1
	Sizes []int  `json:"sizes,omitempty"` // ranks an elastic job may have, smallest first; empty: its own
	Wish  int    `json:"wish,omitempty"`  // ranks its goal asks for, among its sizes; 0: as many as there are
	// Rest is how long it is expected to run with the ranks it has; 0: as long as jobs like it.
	Rest        time.Duration `json:"rest,omitempty"`
	Priority    int           `json:"priority,omitempty"`
	Submitted   time.Time     `json:"submitted"`
	Preemptible bool          `json:"preemptible"`
	// MinRuntime is how long an attempt is left alone once it runs.
	MinRuntime time.Duration `json:"minRuntime,omitempty"`
	// Loss is the time on its GPUs that one preemption usually costs the job: what it did since its
	// checkpoint and has to do again, and the restart.
	Loss time.Duration `json:"loss,omitempty"`

	Products []string `json:"products,omitempty"` // acceptable ones, in order of preference; empty: any
	Memory   uint64   `json:"memory,omitempty"`   // bytes of each GPU at least
	Avoid    []string `json:"avoid,omitempty"`    // nodes it keeps away from

	Borrow   functions.Use `json:"borrow,omitempty"`   // may it run on GPUs that are lent; empty: never
	GiveBack time.Duration `json:"giveBack,omitempty"` // it is killed so long after a recall
	Drain    time.Duration `json:"drain,omitempty"`    // nine of ten times it has left within this, see [Drains]

	Started     time.Time     `json:"started,omitzero"`      // of the attempt that runs; zero: the job waits
	Attained    time.Duration `json:"attained,omitempty"`    // on its GPUs, in earlier attempts
	Preemptions int           `json:"preemptions,omitempty"` // so far
	Saved       time.Time     `json:"saved,omitzero"`        // its work until then is committed; zero: Loss is all that is known
	On          []string      `json:"on,omitempty"`          // the node of each rank
	Product     string        `json:"product,omitempty"`     // of the GPUs that it holds there; empty: of one that it asks for
	Lent        int           `json:"lent,omitempty"`        // of its GPUs are on loan
	LentUntil   time.Time     `json:"lentUntil,omitzero"`    // when they are to be back
	Leaving     bool          `json:"leaving,omitempty"`     // it was told to go and still holds its GPUs
	// Resizing is how many ranks it comes back with, of a job that leaves for no other reason. It
	// stays set until the job runs again.
	Resizing int `json:"resizing,omitempty"`
}

// Running tells whether the job holds its GPUs.
func (j *Job) Running() bool { return !j.Started.IsZero() }

// Ran is how long the attempt that runs has run; 0 for a job that waits.
func (j *Job) Ran(now time.Time) time.Duration {
	if !j.Running() {
		return 0
	}
	return max(0, now.Sub(j.Started))
}

// Service is the time the job has held its GPUs, over all attempts.
func (j *Job) Service(now time.Time) time.Duration { return j.Attained + j.Ran(now) }

// Work is what the job has done and kept: its time on GPUs without what preemptions have cost.
func (j *Job) Work(now time.Time) time.Duration {
	return max(0, j.Service(now)-time.Duration(j.Preemptions)*j.Loss)
}

// Waited is how long the job has been there without GPUs, before its first attempt and between
// attempts.
func (j *Job) Waited(now time.Time) time.Duration {
	return max(0, now.Sub(j.Submitted)-j.Service(now))
}

// held tells whether nobody may take the job's GPUs now.
func (j *Job) held(now time.Time) bool {
	return j.Running() && (!j.Preemptible || j.Ran(now) < j.MinRuntime)
}

// atRisk is the time on its GPUs that would be lost if the job had to go now.
func (j *Job) atRisk(now time.Time) time.Duration {
	if j.Saved.IsZero() || !j.Running() {
		return j.Loss
	}
	return max(0, now.Sub(j.Saved))
}

// ranks is the number of ranks it holds or waits for.
func (j *Job) ranks() int { return max(1, j.Ranks) }

// per is the GPUs of each rank.
func (j *Job) per() int { return j.GPUs / j.ranks() }

// borrows tells whether the job may run on loans.
func (j *Job) borrows() bool {
	return j.Borrow == functions.UseAllowed || j.Borrow == functions.UseOnly
}

// Snapshot is a pool and its jobs at a moment.
type Snapshot struct {
	Now    time.Time `json:"now"`
	GPUs   int       `json:"gpus"`             // that training may hold by right, free or held
	Nodes  []Node    `json:"nodes,omitempty"`  // where GPUs lie; empty: they are alike, and lie together
	Queues []Queue   `json:"queues,omitempty"` // empty: one, that has all
	Lender Lender    `json:"lender,omitzero"`  // whose idle GPUs may be borrowed beside the own
	Jobs   []Job     `json:"jobs"`             // waiting and running, in the order of their submission
}
