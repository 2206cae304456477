package functions_test

import (
	"reflect"
	"testing"

	"stoker.dev/stoker/functions"
)

func TestValidQueues(t *testing.T) { validManifests(t, "jobqueue/valid", functions.ParseJobQueues) }
func TestInvalidQueues(t *testing.T) {
	invalidManifests(t, "jobqueue/invalid", functions.ParseJobQueues)
}

func TestJobQueueSchemaAcceptsValidQueues(t *testing.T) {
	validInSchema(t, "jobqueue/valid", compiled(t, functions.JobQueueSchema))
}

func TestJobQueueSchemaHasEveryField(t *testing.T) {
	everyField(t, reflect.TypeFor[functions.JobQueue](), functions.JobQueueSchema, 10)
}

func TestJobQueueSchemaAndParseRefuseTheSame(t *testing.T) {
	refuse := refusal{compiled(t, functions.JobQueueSchema), func(file string, data []byte) error {
		_, err := functions.ParseJobQueues(file, data)
		return err
	}}
	refuse.each(t, "testdata/jobqueue/valid/two.yaml", map[string]any{
		"kind": "Queue", "metadata.name": "Nightly", "spec.guaranteed": -1, "spec.max": "8", "spec.weight": 0,
	})
}

func TestThousandMalformedQueues(t *testing.T) {
	damaged(t, "jobqueue/valid", compiled(t, functions.JobQueueSchema), functions.ParseJobQueues, func(q functions.JobQueue) {
		complete(t, q, functions.DefaultJobQueue, functions.ValidateJobQueue, functions.ParseJobQueues)
	})
}
