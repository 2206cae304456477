package e2e

import (
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// TestAJobIsSizedByItsGoal: on one node it would be late. It is measured there, comes back once with as many nodes as it
// needs, goes on from its checkpoint, and is done in time.
func TestAJobIsSizedByItsGoal(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 4})
	goes := p.Job("train", 0, "-shared", "-each", "200ms", "-steps", "1000", "-save", "100") // 200 s on one node
	goes.Spec.Elastic = functions.Elastic{Min: 1, Max: 4, Step: 1}
	goes.Spec.Goal.Within = functions.Duration(160 * time.Second)
	p.Submit(goes)
	p.AwaitJob("train", "trains on one node", func(j api.Job) bool { return harness.Trains(1)(j) && j.Nodes == 1 })
	steerJob(t, p, "train", api.JobPause) // what a restart costs is measured, too
	p.AwaitPhase("train", job.Paused)
	steerJob(t, p, "train", api.JobResume)
	j := p.AwaitJob("train", "is at its end", func(j api.Job) bool { return j.Phase.Terminal() })
	last := j.Attempts[len(j.Attempts)-1]
	if j.Phase != job.Succeeded || len(j.Attempts) != 3 || last.Nodes < 2 || j.Attempts[1].Asked != job.CauseResized {
		t.Errorf("%s after %+v", j.Phase, j.Attempts)
	}
	if j.Goal == nil || len(j.Goal.Speeds) == 0 || j.Goal.Speeds[0].Ranks != 1 || j.Since.After(j.Goal.By) {
		t.Errorf("done at %v with %+v", j.Since, j.Goal)
	}
	if j.Time.Lost > 0 || j.Used.Infra+j.Used.User > 0 {
		t.Errorf("being resized cost %+v, retries %+v", j.Time, j.Used)
	}
}
