package functions

import (
	"reflect"
	"slices"
	"strconv"
)

// KindJobQueue is the kind of a queue's manifest.
const KindJobQueue = "JobQueue"

// JobQueue is one manifest: what the training jobs of a namespace that wait in it may hold. Operators
// write them into the file of `stoker up --queues`.
type JobQueue struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   Metadata     `json:"metadata"`
	Spec       JobQueueSpec `json:"spec"`
}

// Key returns the namespace and name of the queue.
func (q JobQueue) Key() Key { return Key{q.Metadata.Namespace, q.Metadata.Name} }

// JobQueueSpec is the content of a queue. GPUs that inference lends to a job are not counted.
type JobQueueSpec struct {
	Guaranteed int `json:"guaranteed,omitempty"` // GPUs that its jobs have whenever they want them: others use them meanwhile, and give them back; default 0
	Max        int `json:"max,omitempty"`        // GPUs that its jobs may hold in all, so that it borrows at most max - guaranteed from other queues; default no limit
	Weight     int `json:"weight,omitempty"`     // of what no queue is guaranteed, over time, default 1
}

// MaxQueueGPUs is the most a queue can be given: the largest gang there can be.
const MaxQueueGPUs = MaxNodes * MaxGPUs

// jobQueueKind is the kind JobQueue.
var jobQueueKind = kind[JobQueue]{
	grammar:  grammar{name: KindJobQueue, of: reflect.TypeFor[JobQueue](), rules: jobQueueRules()},
	silent:   func() JobQueue { return JobQueue{} },
	complete: DefaultJobQueue,
	conflicts: []func(JobQueue) []FieldError{
		func(q JobQueue) []FieldError { return checkLabels(q.Metadata) },
		checkQueueMax,
	},
}

// ParseJobQueues reads every manifest in an input as [Parse] does, each of kind JobQueue.
func ParseJobQueues(file string, data []byte) ([]JobQueue, error) {
	return jobQueueKind.parse(file, data)
}

// ValidateJobQueue returns everything wrong with a queue that DefaultJobQueue has completed, in the order
// of the types' fields; nil if nothing is.
func ValidateJobQueue(q JobQueue) Errors { return jobQueueKind.validate(q) }

// DefaultJobQueue completes what is zero with the defaults named beside the types' fields. It is idempotent.
func DefaultJobQueue(q JobQueue) JobQueue {
	setDefault(&q.APIVersion, APIVersion)
	setDefault(&q.Kind, KindJobQueue)
	setDefault(&q.Metadata.Namespace, DefaultNamespace)
	setDefault(&q.Spec.Weight, DefaultWeight)
	return q
}

// jobQueueRules are all rules about single fields of a JobQueue.
func jobQueueRules() []rule {
	return slices.Concat(identity(KindJobQueue), []rule{
		shape("spec", "guaranteed, max and weight").orElse("write spec: {guaranteed: 8, max: 16}"),
		whole("spec.guaranteed", 0, MaxQueueGPUs),
		whole("spec.max", 1, MaxQueueGPUs).mayLack().orElse("leave it out where there is no limit"),
		whole("spec.weight", 1, MaxWeight),
	})
}

func checkQueueMax(q JobQueue) []FieldError {
	s := q.Spec
	if s.Max <= 0 || s.Guaranteed <= s.Max {
		return nil
	}
	return []FieldError{{
		Path: "spec.max", Value: strconv.Itoa(s.Max), Err: ErrConflict, Allowed: "at least guaranteed, which is " + strconv.Itoa(s.Guaranteed),
		Hint: "a max that is guaranteed lets the queue borrow nothing from others", with: "spec.guaranteed",
	}}
}
