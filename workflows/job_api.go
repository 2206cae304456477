package workflows

import (
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// Names on the wire; changing one strands running workflows.
const (
	JobWorkflow = "Job"
	UpdateTell  = "tell"
)

// AttrJob is the search attribute with a job's name, a keyword.
const AttrJob = "StokerJob"

// JobWorkflowID names the workflow of a job. Another job of the name, later, has another one.
func JobWorkflowID(k functions.Key, uid string) string { return "job/" + k.String() + "/" + uid }

// JobState is what a job's workflow carries across continue-as-new: all of it.
type JobState struct {
	Key     functions.Key     `json:"key"`
	UID     string            `json:"uid"`
	Spec    functions.JobSpec `json:"spec"` // its [JobOutline]
	Life    job.State         `json:"life,omitzero"`
	Seq     uint64            `json:"seq,omitempty"` // grows with every step of Life, so that of two copies the newer is known
	Todo    []job.Command     `json:"todo,omitempty"`
	Placed  Placed            `json:"placed,omitzero"`
	Resumed string            `json:"resumed,omitempty"` // the checkpoint the newest gang began with
	Runs    int               `json:"runs,omitempty"`    // how often it continued as new
	First   []job.Event       `json:"first,omitempty"`   // what was decided about it before its workflow began
	Code    int               `json:"code,omitempty"`    // the behaviour it began with, see [JobCode]
	Listed  Listed            `json:"listed,omitzero"`   // as the server's lists have it
}

// Listed is what the search attributes of a job say of it. Each change is an event in the history and a write to the
// server's lists.
type Listed struct {
	Phase job.Phase `json:"phase"`
	GPUs  int       `json:"gpus,omitempty"`
}

// Placed is where the gang of a generation is.
type Placed struct {
	Generation uint64   `json:"generation"`
	Nodes      int      `json:"nodes"`
	On         []string `json:"on,omitempty"` // the node of every rank
	Port       int      `json:"port,omitempty"`
}

// JobOutline is as much of a job's spec as its workflow works with. Temporal shows histories to
// everybody who may look, so program, environment, data and webhooks are not in them.
func JobOutline(s functions.JobSpec) functions.JobSpec {
	s.Runtime, s.Dataset, s.Notify = functions.JobRuntime{}, functions.Dataset{}, nil
	return s
}

// Tell is the one Update of a job's workflow: what happened. Telling the same twice changes nothing.
type Tell struct {
	UID    string      `json:"uid"`
	Events []job.Event `json:"events,omitempty"` // none: only the answer is wanted
}

// JobStatus answers a tell and the status query.
type JobStatus struct {
	UID     string    `json:"uid"`
	Life    job.State `json:"life"`
	Seq     uint64    `json:"seq"`
	Placed  Placed    `json:"placed,omitzero"`
	Resumed string    `json:"resumed,omitempty"`
	Trouble string    `json:"trouble,omitempty"` // why the last command did not get through; it is tried again
	Short   string    `json:"short,omitempty"`   // why there was no room for the last gang that was let in, or why it was not started
	Refused []string  `json:"refused,omitempty"` // events of this tell that can never be right
	Runs    int       `json:"runs,omitempty"`
}

func (j *jobRun) status() JobStatus {
	return JobStatus{UID: j.UID, Life: j.Life, Seq: j.Seq, Placed: j.Placed, Resumed: j.Resumed, Trouble: j.trouble, Short: j.short, Runs: j.Runs}
}

// Times of a job's workflow.
const (
	// jobRetry and jobRetryMax bound the pause after an activity that did not get through within
	// its patience.
	jobRetry    = time.Second
	jobRetryMax = 30 * time.Second
	// tellPatience bounds the word to the world about a change, which waits for nothing.
	tellPatience = 5 * time.Second
	// soonPatience bounds what runs within a workflow task.
	soonPatience = 3 * time.Second
)
