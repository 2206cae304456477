package functions

import (
	"math"
	"time"
)

// Defaults of training jobs, used where a manifest is silent.
const (
	DefaultQueue              = "default"
	DefaultNodes              = 1
	DefaultCheckpointInterval = 10 * time.Minute
	DefaultKeepCheckpoints    = 3
	// DefaultJobGrace is torchrun's own patience with its workers, and the shortest notice of the
	// large clouds' spot machines.
	DefaultJobGrace = 30 * time.Second
	// DefaultReleaseMargin is what a give-back may take beyond the grace: killing what is left and
	// seeing the GPUs' memory free.
	DefaultReleaseMargin = 5 * time.Second
	// DefaultInfraErrors is for a job of a week on a fleet that loses a node of it every day.
	DefaultInfraErrors = 10
	// DefaultStuckAfter is what NCCL's watchdog and gloo leave a collective operation by default: up to then
	// the program ends by itself and says more than anybody else can.
	DefaultStuckAfter = 30 * time.Minute
	// BarrierTimeout is how long the ranks of a gang wait for each other, whatever a manifest says: the largest
	// images take some minutes to be pulled, and GPUs that wait for a rank that will never come are lost.
	BarrierTimeout = 15 * time.Minute
)

// The exit codes whose meaning a manifest need not say: 75 and 78 are those of sysexits.h.
const (
	ExitSaved     = 75 // EX_TEMPFAIL
	ExitUnsaved   = 76
	ExitPermanent = 77
	ExitBadConfig = 78 // EX_CONFIG
)

// silentJob is a job of whose manifest nothing is read yet.
func silentJob() TrainingJob {
	var j TrainingJob
	j.Spec.Resources.GPUsPerNode = DefaultGPUs
	j.Spec.Preemption.Preemptible = true
	j.Spec.Retry.InfraErrors = DefaultInfraErrors
	return j
}

// DefaultJob completes what is zero with the defaults named beside the types' fields. It is
// idempotent. Three it cannot know, since their zeros have a meaning: resources.gpusPerNode,
// preemption.preemptible and retry.infraErrors. ParseJobs fills those where the manifest is silent.
func DefaultJob(j TrainingJob) TrainingJob {
	setDefault(&j.APIVersion, APIVersion)
	setDefault(&j.Kind, KindTrainingJob)
	setDefault(&j.Metadata.Namespace, DefaultNamespace)
	s := &j.Spec
	setDefault(&s.Framework, FrameworkCustom)
	s.Resources.Nodes, s.Elastic = defaultSize(s.Resources.Nodes, s.Elastic, s.Goal)
	setDefault(&s.Checkpoint.Interval, Duration(DefaultCheckpointInterval))
	setDefault(&s.Checkpoint.Resume, ResumeAuto)
	setDefault(&s.Checkpoint.Keep, DefaultKeepCheckpoints)
	setDefault(&s.Preemption.Grace, Duration(DefaultJobGrace))
	setDefault(&s.Borrow.IdleInference, UseNever)
	if s.Borrow.IdleInference != UseNever {
		giveBack := s.Preemption.Grace.D() + DefaultReleaseMargin
		setDefault(&s.Borrow.MaxGiveBackSeconds, int(math.Ceil(giveBack.Seconds())))
	}
	setDefault(&s.Spot, UseNever)
	setDefault(&s.Queue, DefaultQueue)
	s.Retry = defaultRetry(s.Retry)
	setDefault(&s.Stuck.After, Duration(DefaultStuckAfter))
	setDefault(&s.Stuck.Action, StuckReport) // a long evaluation looks the same
	s.Notify = defaultNotices(s.Notify)
	setDefault(&s.Placement.Pool, DefaultPool)
	return j
}

// defaultSize is one node, unless the number is left to the platform.
func defaultSize(nodes int, e Elastic, g Goal) (int, Elastic) {
	if e == (Elastic{}) {
		if g == (Goal{}) {
			setDefault(&nodes, DefaultNodes)
		}
		return nodes, e
	}
	setDefault(&e.Min, 1)
	setDefault(&e.Step, 1)
	return nodes, e
}

func defaultRetry(r Retry) Retry {
	c := &r.ExitCodes
	for _, list := range []struct {
		field *[]int
		code  int
	}{{&c.Saved, ExitSaved}, {&c.Unsaved, ExitUnsaved}, {&c.Permanent, ExitPermanent}, {&c.BadConfig, ExitBadConfig}} {
		if *list.field == nil { // an empty list is an answer: no code means that
			*list.field = []int{list.code}
		}
	}
	setDefault(&r.Backoff.Initial, Duration(DefaultBackoffInitial))
	setDefault(&r.Backoff.Max, Duration(DefaultBackoffMax))
	return r
}

// defaultNotices returns a list of its own; the caller's is left as it is.
func defaultNotices(list []Notice) []Notice {
	if list == nil {
		return nil
	}
	out := make([]Notice, len(list))
	for i, n := range list {
		if n.On == nil { // an empty list is an answer: of nothing
			n.On = []JobEvent{JobSucceeded, JobFailed, JobTimedOut, JobRejected}
		}
		out[i] = n
	}
	return out
}
