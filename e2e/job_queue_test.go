package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/jobs"
)

const twoQueues = `
apiVersion: stoker.dev/v1
kind: JobQueue
metadata: {name: guaranteed, namespace: default}
spec: {guaranteed: 2}
---
apiVersion: stoker.dev/v1
kind: JobQueue
metadata: {name: borrows, namespace: default}
spec: {max: 2}
`

// TestQueuesShareThePool has a queue without a guarantee fill up to its limit, and give back what another is guaranteed,
// with its work saved.
func TestQueuesShareThePool(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(file, []byte(twoQueues), 0o600); err != nil {
		t.Fatal(err)
	}
	p := harness.Up(t, harness.Options{GPUs: 3, Args: []string{"--queues", file, "--training-gpus", "3"}})
	submit := func(name, queue string, nodes int) {
		t.Helper()
		j := p.Job(name, nodes)
		j.Spec.Queue = queue
		p.Submit(j)
	}
	nowhere := p.Job("nowhere", 1)
	nowhere.Spec.Queue = "borrow"
	if _, err := p.TrySubmit(nowhere); err == nil || !strings.Contains(err.Error(), "allowed: guaranteed, borrows; did you mean borrows?") {
		t.Errorf("a queue that does not exist: %v", err)
	}

	submit("one", "borrows", 1)
	submit("two", "borrows", 1)
	p.AwaitJob("one", "trains", harness.Trains(10))
	p.AwaitJob("two", "trains", harness.Trains(10))
	submit("three", "borrows", 1)
	third := p.AwaitJob("three", "waits for its queue", func(j api.Job) bool { return j.Waiting != nil && j.Waiting.Block == string(jobs.BlockQuota) })
	if q := third.Waiting.Queue; q.Max != 2 || q.Held != 2 || q.Running != 2 || q.Waiting != 1 {
		t.Errorf("beside a free GPU it waits as %+v", third.Waiting)
	}

	submit("mine", "guaranteed", 2)
	awaitGuaranteed(t, p)
	queues, err := p.API.JobQueues(t.Context(), harness.Namespace)
	if err != nil || len(queues) != 2 || queues[0].Name != "borrows" || queues[0].GPUHours <= 0 || queues[1].Held != 2 {
		t.Errorf("the queues are %+v, %v", queues, err)
	}
}

// awaitGuaranteed waits until the job of the guaranteed queue trains. Attempts are left alone until they have run four
// times what their end costs, which are two minutes here.
func awaitGuaranteed(t *testing.T, p *harness.Platform) {
	t.Helper()
	const alone = time.Duration(jobs.LossesWorked) * 31 * time.Second
	harness.EventuallyWithin(t, alone+harness.Patience, "what is guaranteed is had", func() (bool, any) {
		return harness.Trains(10)(p.AJob("mine")), p.AJob("mine").Waiting
	})
	gaveWay := 0
	for _, name := range []string{"one", "two"} {
		if j := p.AJob(name); j.Phase == job.Queued && j.Cause == job.CausePreempted && j.Time.Lost == 0 && j.Saved.Step > 10 && j.Used.Infra+j.Used.User == 0 {
			gaveWay++
		}
	}
	if gaveWay == 0 { // one for the guarantee; the other perhaps for the third, which has had less
		t.Errorf("no borrower gave way with its work saved: %+v, %+v", p.AJob("one"), p.AJob("two"))
	}
}
