package scale

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

// TestAQuestionThatWasKeptIsAnsweredTheSame plays worlds, writes every question down as JSON and asks it again.
func TestAQuestionThatWasKeptIsAnsweredTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			w.happen(t)
			q := Question{Spec: w.spec, State: w.state, Observation: w.observe(t), Now: w.now}
			after, d := Decide(w.spec, w.state, q.Observation, w.now)
			data, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			var kept Question
			if err := json.Unmarshal(data, &kept); err != nil {
				t.Fatal(err)
			}
			got := kept.Answer()
			if encode(t, got.State) != encode(t, after) || got.Decision.Epoch != d.Epoch || got.Decision.Target != d.Target || !reflect.DeepEqual(got.Lines, q.Answer().Lines) {
				t.Fatalf("decided %+v, asked again %+v", d, got.Decision)
			}
			w.state = after
			w.obey(d)
		}
	})
}

// TestCheckNamesEverything: a question that Decide would bound is told to whoever wrote it.
func TestCheckNamesEverything(t *testing.T) {
	good := Question{Spec: Spec{Max: 1, Slots: 1}, Observation: Observation{
		Pending: map[functions.Class]int{functions.Batch: 1}, FreeGPUs: UnknownGPUs, Replicas: []Replica{{ID: "a", Phase: Silent}},
	}, Now: origin}
	if errs := good.Check(); len(errs) > 0 {
		t.Errorf("a good question: %v", errs)
	}
	minus := -1
	bad := Question{Spec: Spec{Min: -1, GPUs: -1, Wait: -1, Pinned: &minus}, Observation: Observation{
		Pending: map[functions.Class]int{"urgent": 1, functions.Batch: -1}, InFlight: -1, Refused: -1, FreeGPUs: -2, ServiceSec: -1, Budget: &minus,
		ColdStarts: []time.Duration{1, -1}, Replicas: []Replica{{Phase: "dead", InFlight: -1}, {}}, Exits: []Exit{{}},
	}}
	var text strings.Builder
	for _, err := range bad.Check() {
		text.WriteString(err.Error() + "\n")
		if !strings.Contains(err.Error(), ": allowed: ") {
			t.Errorf("%v says not what is allowed", err)
		}
	}
	for _, path := range []string{
		"spec.min: -1", "spec.max: 0", "spec.slots: 0", "spec.gpus: -1", "spec.wait: -1ns", "spec.pinned: -1", `observation.pending: "urgent"`,
		"observation.pending.batch: -1", "observation.inFlight: -1", "observation.refused: -1", "observation.freeGPUs: -2", "observation.serviceSec: -1",
		"observation.budget: -1", "observation.coldStarts[1]: -1ns", `observation.replicas[0].id: ""`, `observation.replicas[0].phase: "dead"`,
		"observation.replicas[0].inFlight: -1", "observation.replicas[1].id", `observation.exits[0].id: ""`,
	} {
		if !strings.Contains(text.String(), path+": allowed: ") && !strings.Contains(text.String(), path+": \"\": allowed: ") {
			t.Errorf("nothing is said of %s in\n%s", path, text.String())
		}
	}
}
