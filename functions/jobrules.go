package functions

import (
	"reflect"
	"slices"
)

// jobKind is the kind TrainingJob.
var jobKind = kind[TrainingJob]{
	grammar:   grammar{name: KindTrainingJob, of: reflect.TypeFor[TrainingJob](), rules: jobRules()},
	silent:    silentJob,
	complete:  DefaultJob,
	conflicts: jobConflicts,
}

// ParseJobs reads every manifest in an input as [Parse] does, each of kind TrainingJob.
func ParseJobs(file string, data []byte) ([]TrainingJob, error) { return jobKind.parse(file, data) }

// ValidateJob returns everything wrong with a job that DefaultJob has completed, in the order of
// the types' fields; nil if nothing is. Files and lines are ParseJobs's to add.
func ValidateJob(j TrainingJob) Errors { return jobKind.validate(j) }

const (
	checkpointPattern = `^file:///[^\x00-\x20\x7f]*$`
	addressPattern    = `^[a-z][a-z0-9+.-]*://[^\x00-\x20\x7f]+$`
	webhookPattern    = `^https://[^\x00-\x20\x7f]+$`
)

// jobRules are all rules about single fields of a TrainingJob, in the order of the types. What ties
// two fields together is in jobconflicts.go.
func jobRules() []rule {
	uses := []Use{UseNever, UseAllowed, UseOnly}
	events := JobEvents()
	return slices.Concat(runs(KindTrainingJob), []rule{
		oneOf("spec.framework", FrameworkTorch, FrameworkJAX, FrameworkMPI, FrameworkCustom),
	}, program("torchrun, train.py", "torchrun, train.py"), []rule{
		whole("spec.resources.nodes", 1, MaxNodes).mayLack(),
	}, hardware("gpusPerNode"), []rule{
		shape("spec.elastic", "min, max and step").orElse("write elastic: {min: 2, max: 8}"),
		whole("spec.elastic.min", 1, MaxNodes).mayLack(),
		whole("spec.elastic.max", 1, MaxNodes).mayLack(),
		whole("spec.elastic.step", 1, MaxNodes).mayLack(),

		shape("spec.goal", "finishBy, within or stepsPerSecond, and maxCost").orElse("write goal: {within: 6h, maxCost: 200}"),
		moment("spec.goal.finishBy"),
		span("spec.goal.within", minJobSpan, MaxJobSpan).mayLack(),
		amount("spec.goal.stepsPerSecond", minStepsPerSecond, maxStepsPerSecond, "2.5 or 500m").orElse("steps of the program per second, a number without a unit"),
		dollars("spec.goal.maxCost"),

		shape("spec.dataset", "uri").orElse("write dataset: {uri: s3://bucket/prefix}").unseen(),
		text("spec.dataset.uri", addressPattern, maxURIBytes, "an address such as s3://bucket/prefix or file:///data").unseen(),

		shape("spec.checkpoint", "uri, interval, resume and keep").orElse("write checkpoint: {interval: 10m}"),
		text("spec.checkpoint.uri", checkpointPattern, maxURIBytes, "file:/// and the absolute path of a directory that every node sees").
			orElse("mount the storage on every node, and name the directory it is mounted at"),
		span("spec.checkpoint.interval", minCheckpointInterval, MaxCheckpointInterval),
		oneOf("spec.checkpoint.resume", ResumeAuto, ResumeNever, ResumeMust),
		whole("spec.checkpoint.keep", 1, MaxCheckpoints),

		flag("spec.preemption.preemptible"),
		span("spec.preemption.grace", minJobGrace, MaxJobGrace),
		span("spec.preemption.minRuntime", 0, MaxJobSpan),

		shape("spec.borrow", "idleInference and maxGiveBackSeconds").orElse("write borrow: {idleInference: allowed}"),
		oneOf("spec.borrow.idleInference", uses...),
		whole("spec.borrow.maxGiveBackSeconds", 1, maxGiveBackSeconds).mayLack(),
		oneOf("spec.spot", uses...),

		whole("spec.priority", -MaxPriority, MaxPriority),
		name("spec.queue"),
		span("spec.queueTimeout", minJobSpan, MaxJobSpan).mayLack(),
		span("spec.maxRuntime", minJobSpan, MaxJobSpan).mayLack(),
		span("spec.deadline", minJobSpan, MaxJobSpan).mayLack(),

		whole("spec.retry.userErrors", 0, MaxAttempts),
		whole("spec.retry.infraErrors", 0, MaxAttempts),
		shape("spec.retry.exitCodes", "lists of codes for saved, unsaved, permanent, badConfig and infra").
			orElse("write exitCodes: {infra: [74]}"),
		exitCodes("spec.retry.exitCodes.saved"), exitCode("spec.retry.exitCodes.saved[]"),
		exitCodes("spec.retry.exitCodes.unsaved"), exitCode("spec.retry.exitCodes.unsaved[]"),
		exitCodes("spec.retry.exitCodes.permanent"), exitCode("spec.retry.exitCodes.permanent[]"),
		exitCodes("spec.retry.exitCodes.badConfig"), exitCode("spec.retry.exitCodes.badConfig[]"),
		exitCodes("spec.retry.exitCodes.infra"), exitCode("spec.retry.exitCodes.infra[]"),
		shape("spec.retry.backoff", "initial and max").orElse("write backoff: {initial: 1s, max: 1m}"),
		span("spec.retry.backoff.initial", minBackoff, MaxBackoff),
		span("spec.retry.backoff.max", minBackoff, MaxBackoff),

		shape("spec.stuck", "after and action").orElse("write stuck: {after: 30m, action: restart}"),
		span("spec.stuck.after", minStuckAfter, MaxJobSpan),
		oneOf("spec.stuck.action", StuckReport, StuckRestart),

		shape("spec.budget", "maxGPUHours and maxCost").orElse("write budget: {maxGPUHours: 100}"),
		amount("spec.budget.maxGPUHours", minGPUHours, maxGPUHours, "100 or 0.5").orElse("GPUs × hours, a number without a unit of time"),
		dollars("spec.budget.maxCost"),

		entries("spec.notify", maxNotices, "addresses in a list, each with a webhook").unseen(),
		shape("spec.notify[]", "a webhook, and on").orElse("write {webhook: https://…, on: [failed]}").unseen(),
		text("spec.notify[].webhook", webhookPattern, maxURIBytes, "an address that begins with https://").need().unseen(),
		entries("spec.notify[].on", len(events), "events of a job in a list"),
		oneOf("spec.notify[].on[]", events...),
		name("spec.placement.pool"),
	})
}

// flag is true or false.
func flag(path string) rule { return shape(path, "true or false") }

// moment is a Moment, or empty.
func moment(path string) rule {
	return rule{
		path:    path,
		allowed: "a moment with its zone, such as 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00",
		fits:    func(v reflect.Value) bool { return v.Len() == 0 || !Moment(v.String()).Time().IsZero() },
		bounds:  bounds{pattern: momentPattern},
	}
}

// exitCodes is a list of exit codes.
func exitCodes(path string) rule { return entries(path, maxExitCodes, "exit codes in a list") }

// exitCode is one of them. 0 is done, 126 and 127 are a shell's, and from 128 on they are signals.
func exitCode(path string) rule { return whole(path, 1, 125) }
