package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/training"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// goneAndFree tells that nothing of a job is left.
func goneAndFree(t *testing.T, p *harness.Platform, gpus int) {
	t.Helper()
	awaitFree(t, p, gpus)
	harness.Eventually(t, "nothing runs", func() (bool, any) {
		left := slices.DeleteFunc(p.Processes(), func(x harness.Process) bool { return x.Name == harness.Stoker })
		return len(left) == 0, left
	})
}

// TestJobsThatMisbehave runs programs that do not keep to the contract: nothing of them is left behind, and people are
// told what went wrong.
func TestJobsThatMisbehave(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 1})
	run := func(mode string, change func(*functions.JobSpec)) string {
		j := p.Job(mode, 1, "-mode", mode)
		j.Spec.Preemption.Grace = functions.Duration(2e9)
		if change != nil {
			change(&j.Spec)
		}
		p.Submit(j)
		return mode
	}
	t.Run("it ignores SIGTERM", func(t *testing.T) {
		name := run("deaf", nil)
		p.AwaitJob(name, "trains", harness.Trains(30))
		steerJob(t, p, name, api.JobPause)
		j := p.AwaitPhase(name, job.Paused)
		if a := j.Attempts[0]; a.Released.Sub(a.Noticed).Seconds() < 2 || j.Saved.Step == 0 {
			t.Errorf("it had a grace of 2 s: %+v, %+v", a, j.Saved)
		}
		goneAndFree(t, p, 1)
		steerJob(t, p, name, api.JobCancel)
	})
	t.Run("it leaves children behind", func(t *testing.T) {
		name := run("forks", nil)
		p.AwaitJob(name, "trains", harness.Trains(5))
		steerJob(t, p, name, api.JobCancel)
		p.AwaitPhase(name, job.Cancelled)
		goneAndFree(t, p, 1)
	})
	t.Run("it exits with 0 when it is asked to go, having saved nothing", func(t *testing.T) {
		name := run("careless", nil)
		p.AwaitJob(name, "trains", harness.Trains(30))
		steerJob(t, p, name, api.JobPause)
		j := p.AwaitPhase(name, job.Paused)
		steerJob(t, p, name, api.JobResume)
		again := p.AwaitJob(name, "goes on from its last checkpoint", func(j api.Job) bool { return j.Attempt == 2 && harness.Trains(1)(j) })
		if again.Resumed != j.Saved.Path || j.Time.Lost < 0 {
			t.Errorf("resumed from %q, want %q", again.Resumed, j.Saved.Path)
		}
		steerJob(t, p, name, api.JobCancel)
		p.AwaitPhase(name, job.Cancelled)
	})
	t.Run("it hangs", func(t *testing.T) {
		name := run("hangs", func(s *functions.JobSpec) {
			s.Stuck = functions.Stuck{After: functions.Duration(10e9), Action: functions.StuckRestart}
		})
		j := p.AwaitJob(name, "goes on in a second attempt", func(j api.Job) bool { return j.Attempt == 2 && harness.Trains(31)(j) })
		if j.Last == nil || j.Last.Class != job.ClassHang || j.Last.Step != 30 || j.Used.Infra != 1 || j.Used.User != 0 || j.Resumed == "" {
			t.Errorf("it hung as %+v, and cost %+v; resumed from %q", j.Last, j.Used, j.Resumed)
		}
		contains(t, "stoker job describe", stoker(t, p, "job", "describe", name), "no progress for too long")
		steerJob(t, p, name, api.JobCancel)
		p.AwaitPhase(name, job.Cancelled)
	})
	t.Run("it never commits", func(t *testing.T) {
		name := run("uncommitted", nil)
		p.AwaitJob(name, "trains", harness.Trains(60))
		steerJob(t, p, name, api.JobPause)
		p.AwaitPhase(name, job.Paused)
		steerJob(t, p, name, api.JobResume)
		j := p.AwaitJob(name, "begins anew", func(j api.Job) bool { return j.Attempt == 2 && harness.Trains(1)(j) })
		if j.Resumed != "" || j.Saved.Path != "" {
			t.Errorf("resumed from %q, which was never committed", j.Resumed)
		}
		steerJob(t, p, name, api.JobCancel)
		p.AwaitPhase(name, job.Cancelled)
	})
	t.Run("it writes without end", func(t *testing.T) {
		name := run("floods", nil)
		p.AwaitJob(name, "trains on", harness.Trains(400))
		steerJob(t, p, name, api.JobCancel)
		p.AwaitPhase(name, job.Cancelled)
		goneAndFree(t, p, 1)
		size := int64(0)
		err := filepath.WalkDir(filepath.Join(p.Dir, "replicas"), func(_ string, d os.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // 2026-11-28: what a replica leaves behind goes while we look
			}
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
			return nil
		})
		if kept := int64(100 << 20); err != nil || size == 0 || size > kept {
			t.Errorf("its output takes %d bytes, %v", size, err)
		}
	})
	t.Run("its checkpoints cannot be written", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "a-file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		name := run("unwritable", func(s *functions.JobSpec) {
			s.Runtime.Local.Args, s.Checkpoint.URI = nil, "file://"+file
		})
		j := p.AwaitPhase(name, job.Failed)
		if text := strings.Join(j.Last.Evidence, " "); !strings.Contains(text, "checkpoint directory") || !strings.Contains(text, file) {
			t.Errorf("it failed as %+v", j.Last)
		}
		awaitFree(t, p, 1)
	})
	t.Run("its program does not exist", func(t *testing.T) {
		name := run("missing", func(s *functions.JobSpec) { s.Runtime.Local.Command = []string{"/no/such/program"} })
		if j := p.AwaitPhase(name, job.Failed); j.Last.Class != job.ClassConfig || j.Attempt != 1 {
			t.Errorf("it failed as %+v", j.Last)
		}
		awaitFree(t, p, 1)
	})
	t.Run("it is out of time", func(t *testing.T) {
		name := run("late", func(s *functions.JobSpec) { s.Runtime.Local.Args, s.MaxRuntime = nil, functions.Duration(2e9) })
		if j := p.AwaitPhase(name, job.TimedOut); j.Cause != job.CauseMaxRuntime || j.Saved.Step == 0 {
			t.Errorf("it ended for %s with %+v saved", j.Cause, j.Saved)
		}
		goneAndFree(t, p, 1)
	})
}

// TestAnElasticJobGivesBackAPart lends two GPUs to a job that can do with one.
func TestAnElasticJobGivesBackAPart(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	p.Apply(p.Function("chat"))
	j := p.Job("train", 0)
	j.Spec.Elastic = functions.Elastic{Min: 1, Max: 2, Step: 1}
	j.Spec.Borrow.IdleInference = functions.UseAllowed
	p.Submit(j)
	p.AwaitJob("train", "trains", harness.Trains(30))
	wide := p.AJob("train")
	mustInvoke(t, p, "chat", "give me a GPU")
	after := p.AwaitJob("train", "trains on one node", func(j api.Job) bool { return j.Nodes == 1 && harness.Trains(j.Saved.Step)(j) })
	if wide.Nodes == 2 && (after.Attempt < 2 || after.Resumed == "" || after.Used.User+after.Used.Infra > 0) {
		t.Errorf("from %d nodes to %d: attempt %d, resumed from %q, retries %+v", wide.Nodes, after.Nodes, after.Attempt, after.Resumed, after.Used)
	}
	steerJob(t, p, "train", api.JobCancel)
	p.AwaitPhase("train", job.Cancelled)
}

// TestTinyLMTrainsOnWhatInferenceLeavesIdle is the whole story with a real model: training on the only GPU, a burst of
// requests, the GPU given back, every request answered, and the loss curve going on from the committed checkpoint.
func TestTinyLMTrainsOnWhatInferenceLeavesIdle(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 1})
	chat := p.Function("chat")
	p.Apply(chat)
	tiny := p.Job("tinylm", 1)
	tiny.Spec.Runtime.Local = &functions.Local{Command: []string{harness.Bin(t, harness.TinyLM), "train"}}
	tiny.Spec.Borrow.IdleInference = functions.UseOnly
	p.Submit(tiny)
	before := p.AwaitJob("tinylm", "has learned something", func(j api.Job) bool {
		return j.Lent > 0 && j.Saved.Step > 0 && harness.Trains(j.Saved.Step)(j) && len(j.Progress.Losses) > 3
	})
	const burst = 8
	js := p.JetStream()
	var ids []string
	for i := range burst {
		ids = append(ids, p.MustPublish(js, "chat", functions.Interactive, fmt.Sprintf(`{"n": %d}`, i)))
	}
	for id, rec := range p.AwaitRecords("chat", ids) {
		if rec.Status != "ok" {
			t.Errorf("request %s of the burst: %s %s", id, rec.Status, rec.Message)
		}
	}
	recalled := p.AJob("tinylm")
	if recalled.Attempt == 1 && recalled.Phase.Trains() {
		t.Errorf("the burst was answered, and the job still trains in its first attempt")
	}
	after := p.AwaitJob("tinylm", "goes on", func(j api.Job) bool {
		return j.Attempt >= 2 && harness.Trains(before.Saved.Step)(j) && j.Progress.Loss != nil
	})
	if after.Resumed == "" || after.Time.Lost > 0 && after.Attempts[0].Class == job.ClassPreempted && after.Attempts[0].SavedAt.IsZero() {
		t.Errorf("resumed from %q, %+v", after.Resumed, after.Time)
	}
	if first := after.Progress.Losses[0]; *after.Progress.Loss >= first {
		t.Errorf("the loss began at %g and is %g: the curve does not go on", first, *after.Progress.Loss)
	}
	steerJob(t, p, "tinylm", api.JobCancel)
	p.AwaitPhase("tinylm", job.Cancelled)
}

// TestPyTorchOnThePlatform is a gang of real PyTorch, which meets by the injected environment, gives way and goes on,
// and loses one of its ranks.
func TestPyTorchOnThePlatform(t *testing.T) {
	t.Parallel()
	python := training.Python(t, "torch")
	p := harness.Up(t, harness.Options{GPUs: 2})
	j := p.Job("ddp", 2)
	j.Spec.Framework = functions.FrameworkTorch
	j.Spec.Runtime.Local = &functions.Local{Command: []string{python, training.Program(t, "ddp.py"), "--steps", "100000000", "--checkpoint-every", "50"}}
	p.Submit(j)
	p.AwaitJob("ddp", "has a checkpoint", func(j api.Job) bool { return j.Saved.Step > 0 && harness.Trains(j.Saved.Step)(j) })
	steerJob(t, p, "ddp", api.JobPause)
	paused := p.AwaitPhase("ddp", job.Paused)
	if paused.Time.Lost > 0 || paused.Used.User+paused.Used.Infra > 0 {
		t.Errorf("paused with %+v, retries %+v", paused.Time, paused.Used)
	}
	steerJob(t, p, "ddp", api.JobResume)
	again := p.AwaitJob("ddp", "goes on", func(j api.Job) bool {
		return j.Attempt == 2 && j.Saved.Step > paused.Saved.Step && harness.Trains(j.Saved.Step)(j)
	})
	harness.Signal(t, again.Ranks[1].PID, unix.SIGKILL)
	third := p.AwaitJob("ddp", "goes on without the rank that was killed", func(j api.Job) bool {
		return j.Attempt == 3 && harness.Trains(j.Saved.Step)(j)
	})
	if third.Last.Class != job.ClassKilled || third.Last.Rank != 1 || third.Used.Infra != 1 || third.Used.User != 0 || third.Resumed == "" {
		t.Errorf("a killed rank is %+v, and cost %+v", third.Last, third.Used)
	}
	steerJob(t, p, "ddp", api.JobCancel)
	p.AwaitPhase("ddp", job.Cancelled)
	goneAndFree(t, p, 2)
}
