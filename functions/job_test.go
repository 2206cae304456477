package functions_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

func TestValidJobs(t *testing.T)   { validManifests(t, "job/valid", functions.ParseJobs) }
func TestInvalidJobs(t *testing.T) { invalidManifests(t, "job/invalid", functions.ParseJobs) }

func TestJobSchemaAcceptsValidJobs(t *testing.T) {
	validInSchema(t, "job/valid", compiled(t, functions.JobSchema))
}

func TestJobSchemaHasEveryField(t *testing.T) {
	everyField(t, reflect.TypeFor[functions.TrainingJob](), functions.JobSchema, 50)
}

func TestJobSchemaAndParseRefuseTheSame(t *testing.T) {
	refuse := refusal{compiled(t, functions.JobSchema), func(file string, data []byte) error {
		_, err := functions.ParseJobs(file, data)
		return err
	}}
	refuse.each(t, "testdata/job/valid/full.yaml", map[string]any{
		"kind": "Function", "spec.framework": "pytorch", "spec.runtime.command": "torchrun", "spec.resources.gpusPerNode": 65,
		"spec.elastic": map[string]any{"min": 2}, "spec.elastic.step": 0, "spec.goal.finishBy": "tomorrow", "spec.goal.maxCost": "20 USD",
		"spec.goal": map[string]any{"within": "6h", "finishBy": "2026-12-01T08:00:00Z"}, "spec.dataset.uri": "/data",
		"spec.checkpoint.uri": "s3://a", "spec.checkpoint.keep": 0, "spec.checkpoint.resume": "latest", "spec.preemption.preemptible": "yes",
		"spec.preemption.grace": 30, "spec.borrow.idleInference": "always", "spec.borrow.maxGiveBackSeconds": "30s", "spec.spot": true,
		"spec.priority": 1001, "spec.queue": "My Queue", "spec.maxRuntime": "2d", "spec.retry.userErrors": -1, "spec.retry.exitCodes.saved": []any{0},
		"spec.retry.exitCodes.infra": 74, "spec.stuck.action": "kill", "spec.stuck.after": "soon", "spec.budget.maxGPUHours": "10h", "spec.notify": []any{map[string]any{"on": []string{"failed"}}},
	})
}

func TestThousandMalformedJobs(t *testing.T) {
	damaged(t, "job/valid", compiled(t, functions.JobSchema), functions.ParseJobs, func(j functions.TrainingJob) { checkJob(t, j) })
}

func FuzzParseJobs(f *testing.F) {
	fuzzParse(f, []string{"job/valid", "job/invalid", "valid"}, functions.ParseJobs, checkJob)
}

func checkJob(t *testing.T, j functions.TrainingJob) {
	t.Helper()
	complete(t, j, functions.DefaultJob, functions.ValidateJob, functions.ParseJobs)
}

// The kinds do not read each other's manifests: a file of several is refused, and each is told where it belongs.
func TestKindsDoNotReadEachOther(t *testing.T) {
	job := readFile(t, "testdata/job/valid/smallest.yaml")
	_, err := functions.Parse("a.yaml", job)
	var list functions.Errors
	if !errors.As(err, &list) || len(list) != 1 || list[0].Err != functions.ErrUnsupported || list[0].Allowed != "the kind Function" || list[0].Hint != "submit it with: stoker job submit -f FILE" {
		t.Errorf("Parse of a job: %v", err)
	}
	if _, err := functions.ParseJobs("a.yaml", readFile(t, "testdata/valid/smallest.yaml")); !errors.Is(err, functions.ErrUnsupported) {
		t.Errorf("ParseJobs of a function: %v", err)
	}
}

func TestDefaultJobIsIdempotentAndValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once := functions.DefaultJob(anyJob(t))
		if twice := functions.DefaultJob(once); !reflect.DeepEqual(once, twice) {
			t.Fatalf("once:  %+v\ntwice: %+v", once, twice)
		}
		if errs := functions.ValidateJob(once); errs != nil {
			t.Fatalf("a valid job is refused: %v", errs)
		}
	})
}

func TestParseJobsReadsWhatMarshalWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { readsBack(t, functions.DefaultJob(anyJob(t)), functions.ParseJobs) })
}

// A job has at least one size, smallest first, and allows no other.
func TestSizesOfAJob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := functions.DefaultJob(anyJob(t)).Spec
		sizes := s.Sizes()
		if len(sizes) == 0 || !slices.IsSorted(sizes) || sizes[0] < 1 || sizes[len(sizes)-1] > functions.MaxNodes {
			t.Fatalf("sizes %v of %+v", sizes, s.Elastic)
		}
		n := rapid.IntRange(0, functions.MaxNodes+1).Draw(t, "nodes")
		if s.Allows(n) != slices.Contains(sizes, n) {
			t.Fatalf("%d nodes allowed: %v, sizes %v", n, s.Allows(n), sizes)
		}
		if e := s.Elastic; e.Max > 0 && (sizes[0] != e.Min || sizes[len(sizes)-1] != e.Max) {
			t.Fatalf("sizes %v of %+v", sizes, e)
		}
	})
}

func TestRedactJobHidesValuesAndWebhooks(t *testing.T) {
	var spec functions.JobSpec
	spec.Runtime.Env = []functions.EnvVar{{Name: "TOKEN", Value: "hunter2"}}
	spec.Notify = []functions.Notice{{Webhook: "https://hooks.example/hunter2"}}
	shown, err := json.Marshal(functions.RedactJob(spec))
	if err != nil || strings.Contains(string(shown), "hunter2") || strings.Count(string(shown), functions.HiddenValue) != 2 {
		t.Errorf("shown: %s, %v", shown, err)
	}
	if spec.Runtime.Env[0].Value != "hunter2" || spec.Notify[0].Webhook != "https://hooks.example/hunter2" {
		t.Error("the original was changed")
	}
}

func TestMoment(t *testing.T) {
	for text, want := range map[functions.Moment]time.Time{
		"2026-12-01T08:00:00Z":      time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC),
		"2026-12-01T09:00:00+01:00": time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC),
		"2026-12-01T08:00:00.5Z":    time.Date(2026, 12, 1, 8, 0, 0, 5e8, time.UTC),
		"":                          {}, "2026-12-01": {}, "2026-12-01 08:00:00Z": {}, "2026-02-30T08:00:00Z": {}, "2026-12-01T08:00:00": {}, "2026-12-01T08:00:00,5Z": {},
	} {
		if got := text.Time(); !got.Equal(want) {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// What may hold a token is in no message.
func TestAddressesOfAJobAreNotShown(t *testing.T) {
	_, err := functions.ParseJobs("a.yaml", []byte("apiVersion: stoker.dev/v1\nkind: TrainingJob\nmetadata: {name: a}\nspec: {runtime: {image: a}, notify: [{webhook: 'http://a/8675309'}, {webhook: 8675309}, 'https://a/8675309'], dataset: 's3://u:8675309@b'}"))
	if err == nil || strings.Contains(err.Error(), "8675309") {
		t.Errorf("got %v", err)
	}
}
