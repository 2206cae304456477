package harness

import (
	"encoding/json"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// Job is a manifest for the tests' training program on some nodes with one GPU each, quick to leave. args are flags of
// e2e/trainer.
func (p *Platform) Job(name string, nodes int, args ...string) functions.TrainingJob {
	p.t.Helper()
	j := functions.TrainingJob{APIVersion: functions.APIVersion, Kind: functions.KindTrainingJob}
	j.Metadata = functions.Metadata{Name: name, Namespace: Namespace}
	if p.o.Pods != nil { // the command is the image's business
		j.Spec.Runtime.Image, j.Spec.Runtime.Command, j.Spec.Runtime.Args = p.o.Pods.Image, []string{Bin(p.t, Trainer)}, args
	} else {
		j.Spec.Runtime.Local = &functions.Local{Command: []string{Bin(p.t, Trainer)}, Args: args}
	}
	j.Spec.Runtime.Env = []functions.EnvVar{{Name: markVar, Value: p.Dir}}
	j.Spec.Resources = functions.JobResources{Nodes: nodes, GPUsPerNode: 1}
	j.Spec.Checkpoint.Interval = functions.Duration(time.Second)
	j.Spec.Preemption = functions.Preemption{Preemptible: true, Grace: functions.Duration(20 * time.Second)}
	j.Spec.Retry.InfraErrors = functions.DefaultInfraErrors
	j.Spec.Retry.Backoff = functions.Backoff{Initial: functions.Duration(100 * time.Millisecond), Max: functions.Duration(time.Second)}
	return j
}

// Submit submits a job and fails the test if that is refused.
func (p *Platform) Submit(j functions.TrainingJob) api.Submitted {
	p.t.Helper()
	out, err := p.TrySubmit(j)
	if err != nil || len(out) != 1 {
		p.t.Fatalf("submit %s: %v, %v", j.Key(), out, err)
	}
	return out[0]
}

// TrySubmit submits jobs together.
func (p *Platform) TrySubmit(js ...functions.TrainingJob) ([]api.Submitted, error) {
	var data []byte
	for _, j := range js {
		text, err := json.Marshal(j)
		if err != nil {
			return nil, err
		}
		data = append(append(data, text...), "\n---\n"...)
	}
	return p.API.Submit(p.t.Context(), "jobs.yaml", data, false)
}

// AJob returns a job's state.
func (p *Platform) AJob(name string) api.Job {
	p.t.Helper()
	j, err := p.API.Job(p.t.Context(), Key(name))
	if err != nil {
		p.t.Fatalf("job %s: %v", name, err)
	}
	return j
}

// AwaitJob waits until a job is as wanted.
func (p *Platform) AwaitJob(name, what string, ok func(api.Job) bool) api.Job {
	p.t.Helper()
	var j api.Job
	Eventually(p.t, name+": "+what, func() (bool, any) {
		var err error
		j, err = p.API.Job(p.t.Context(), Key(name))
		if err != nil {
			return false, err
		}
		return ok(j), struct {
			Phase    job.Phase
			Cause    job.Cause
			Attempt  int
			Progress api.Progress
			Saved    job.Saved
			Last     *job.Verdict
			Waiting  *api.Waiting
			Trouble  string
		}{j.Phase, j.Cause, j.Attempt, j.Progress, j.Saved, j.Last, j.Waiting, j.Trouble}
	})
	return j
}

// AwaitPhase waits until a job is in a phase.
func (p *Platform) AwaitPhase(name string, phase job.Phase) api.Job {
	p.t.Helper()
	return p.AwaitJob(name, string(phase), func(j api.Job) bool { return j.Phase == phase })
}

// Trains tells whether a job trains and its gang, not one before, has reported a step beyond one.
func Trains(beyond int64) func(api.Job) bool {
	return func(j api.Job) bool {
		return j.Phase.Trains() && j.Progress.Generation == j.Generation && j.Progress.Step > beyond
	}
}
