package functions_test

import (
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// anyJob draws a job that ValidateJob accepts once DefaultJob has completed it.
func anyJob(t *rapid.T) functions.TrainingJob {
	f := anyFunction(t) // what both kinds have
	var j functions.TrainingJob
	j.Metadata = f.Metadata
	s := &j.Spec
	s.Framework = rapid.SampledFrom([]functions.Framework{"", functions.FrameworkTorch, functions.FrameworkJAX, functions.FrameworkMPI, functions.FrameworkCustom}).Draw(t, "framework")
	r := f.Spec.Runtime
	s.Runtime = functions.JobRuntime{Image: r.Image, Command: r.Command, Args: r.Args, Local: r.Local}
	s.Runtime.Env = maybe(t, "job's env", rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) functions.EnvVar {
		env := anyEnv(t)
		env.Name = "X" + env.Name // none of those that the platform sets
		return env
	}), 0, 4, func(e functions.EnvVar) string { return e.Name }))
	h := f.Spec.Resources
	s.Resources = functions.JobResources{GPUsPerNode: h.GPUs, GPUMem: h.GPUMem, Products: h.Products, CPU: h.CPU, Memory: h.Memory}
	anySize(t, s)
	anyCheckpoint(t, s)
	anyGivingWay(t, s)
	anyLimits(t, s)
	s.Retry.UserErrors = rapid.IntRange(0, functions.MaxAttempts).Draw(t, "userErrors")
	s.Retry.InfraErrors = rapid.IntRange(0, functions.MaxAttempts).Draw(t, "infraErrors")
	s.Retry.ExitCodes = rapid.SampledFrom([]functions.ExitCodes{{}, {Infra: []int{74}}, {Saved: []int{}, Infra: []int{75}}, {BadConfig: []int{2, 78}}}).Draw(t, "exit codes")
	s.Retry.Backoff = f.Spec.Queue.Backoff
	s.Placement = f.Spec.Placement
	return j
}

func anySize(t *rapid.T, s *functions.JobSpec) {
	elastic := rapid.Bool().Draw(t, "elastic")
	if elastic {
		s.Elastic.Min = rapid.IntRange(0, 64).Draw(t, "min")
		s.Elastic.Step = rapid.IntRange(0, 8).Draw(t, "step")
		s.Elastic.Max = max(1, s.Elastic.Min) + max(1, s.Elastic.Step)*rapid.IntRange(0, 64).Draw(t, "steps")
	}
	switch rapid.IntRange(0, 2).Draw(t, "goal") {
	case 1:
		s.Goal.Within = functions.Duration(rapid.Int64Range(int64(time.Second), int64(functions.MaxJobSpan)).Draw(t, "within"))
	case 2:
		s.Goal.FinishBy = "2026-12-01T09:00:00.25+01:00"
		s.Goal.MaxCost, s.Goal.StepsPerSecond = "120.50", "2.5"
	default:
		if !elastic {
			s.Resources.Nodes = rapid.IntRange(0, functions.MaxNodes).Draw(t, "nodes")
		}
	}
}

func anyCheckpoint(t *rapid.T, s *functions.JobSpec) {
	s.Dataset.URI = rapid.SampledFrom([]string{"", "s3://corpus/web", "hf://datasets/a", "file:///data"}).Draw(t, "dataset")
	s.Checkpoint.URI = rapid.SampledFrom([]string{"", "file:///mnt/shared/a"}).Draw(t, "checkpoint")
	s.Checkpoint.Interval = anySpan(t, "interval", time.Second, functions.MaxCheckpointInterval)
	s.Checkpoint.Resume = rapid.SampledFrom([]functions.Resume{"", functions.ResumeAuto, functions.ResumeNever, functions.ResumeMust}).Draw(t, "resume")
	s.Checkpoint.Keep = rapid.IntRange(0, functions.MaxCheckpoints).Draw(t, "keep")
}

func anyGivingWay(t *rapid.T, s *functions.JobSpec) {
	uses := rapid.SampledFrom([]functions.Use{"", functions.UseNever, functions.UseAllowed, functions.UseOnly})
	s.Preemption.Preemptible = rapid.Bool().Draw(t, "preemptible")
	s.Preemption.Grace = anySpan(t, "job's grace", time.Second, functions.MaxJobGrace)
	s.Preemption.MinRuntime = anySpan(t, "minRuntime", 0, functions.MaxJobSpan)
	s.Spot = uses.Draw(t, "spot")
	s.Borrow.IdleInference = uses.Draw(t, "borrow")
	if s.Borrow.IdleInference == functions.UseAllowed || s.Borrow.IdleInference == functions.UseOnly {
		least := int(max(s.Preemption.Grace.D(), functions.DefaultJobGrace)/time.Second) + 1
		s.Borrow.MaxGiveBackSeconds = rapid.OneOf(rapid.Just(0), rapid.IntRange(least, 7200)).Draw(t, "giveBack")
	}
}

func anyLimits(t *rapid.T, s *functions.JobSpec) {
	s.Priority = rapid.IntRange(-functions.MaxPriority, functions.MaxPriority).Draw(t, "priority")
	s.Queue = rapid.OneOf(rapid.Just(""), anyName()).Draw(t, "queue")
	s.Deadline = anySpan(t, "job's deadline", time.Second, functions.MaxJobSpan)
	most := functions.MaxJobSpan
	if s.Deadline > 0 {
		most = s.Deadline.D()
		s.Goal.Within = min(s.Goal.Within, s.Deadline)
	}
	s.QueueTimeout = anySpan(t, "queueTimeout", time.Second, most)
	s.MaxRuntime = anySpan(t, "maxRuntime", time.Second, most)
	s.Budget = rapid.SampledFrom([]functions.JobBudget{{}, {MaxGPUHours: "0.5"}, {MaxGPUHours: "2k", MaxCost: "6000"}}).Draw(t, "budget")
	s.Notify = maybe(t, "notify", rapid.SliceOfN(rapid.SampledFrom([]functions.Notice{
		{Webhook: "https://a"}, {Webhook: "https://hooks.example/x", On: []functions.JobEvent{functions.JobFailed}}, {Webhook: "https://b", On: []functions.JobEvent{}},
	}), 0, 8))
}
