package jobs

import "time"

// Job is what a scheduler knows of a job that was submitted and has not ended. How long it will
// run is not among it.
type Job struct {
	ID          string    `json:"id"`
	User        string    `json:"user,omitempty"`
	Name        string    `json:"name,omitempty"` // jobs of one name are runs of one program
	GPUs        int       `json:"gpus"`           // of the whole gang, which runs on all of them or not at all
	Submitted   time.Time `json:"submitted"`
	Preemptible bool      `json:"preemptible"`
	// MinRuntime is how long an attempt is left alone once it runs.
	MinRuntime time.Duration `json:"minRuntime,omitempty"`
	// Loss is the time on its GPUs that one preemption costs the job: what it did since its
	// checkpoint and has to do again, and the restart.
	Loss time.Duration `json:"loss,omitempty"`

	Started     time.Time     `json:"started,omitzero"`      // of the attempt that runs; zero: the job waits
	Attained    time.Duration `json:"attained,omitempty"`    // on its GPUs, in earlier attempts
	Preemptions int           `json:"preemptions,omitempty"` // so far
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

// Snapshot is a pool and its jobs at a moment.
type Snapshot struct {
	Now  time.Time `json:"now"`
	GPUs int       `json:"gpus"` // in the pool, free or held
	Jobs []Job     `json:"jobs"` // waiting and running, in the order of their submission
}
