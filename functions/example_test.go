package functions_test

import (
	"errors"
	"fmt"

	"stoker.dev/stoker/functions"
)

const tinylm = `
apiVersion: stoker.dev/v1
kind: Function
metadata:
  name: tinylm
spec:
  runtime:
    local:
      command: [tinylm, serve, --checkpoint, /var/lib/tinylm]
    protocol: openai
  scaling:
    max: 3
    waitSLO: {p95: 2s}
`

func ExampleParse() {
	list, err := functions.Parse("tinylm.yaml", []byte(tinylm))
	if err != nil {
		fmt.Println(err)
		return
	}
	f := list[0]
	percentile, wait := f.Spec.Scaling.WaitSLO.Target()
	fmt.Println(f.Key(), "revision", functions.Revision(f.Spec))
	fmt.Printf("%d GPU, at most %d replicas, %.0f %% of requests wait %s at most\n", f.Spec.Resources.GPUs, f.Spec.Scaling.Max, percentile*100, wait)
	// Output:
	// default/tinylm revision dd46830760
	// 1 GPU, at most 3 replicas, 95 % of requests wait 2s at most
}

// Everything wrong is told at once, each with its line, what is allowed and what to do.
func ExampleParse_errors() {
	_, err := functions.Parse("tinylm.yaml", []byte(`
apiVersion: stoker.dev/v1
kind: Function
metadata:
  name: Tiny_LM
spec:
  runtime:
    local:
      command: [tinylm, serve]
    protcol: openai
  scaling:
    waitSLO: {p95: 2}
`))
	fmt.Println(err)
	fmt.Println("unknown field:", errors.Is(err, functions.ErrUnknownField))
	// Output:
	// tinylm.yaml:5: metadata.name: not allowed: "Tiny_LM"
	//     allowed: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit (RFC 1123)
	//     hint: did you mean tiny-lm?
	// tinylm.yaml:10: spec.runtime.protcol: unknown field
	//     allowed: image, command, args, local, env, port, protocol, path, ready or drain
	//     hint: did you mean protocol?
	// tinylm.yaml:12: spec.scaling.waitSLO.p95: wrong type: 2
	//     allowed: a duration from 1ms to 1h, such as 2s or 1m30s
	//     hint: a duration has a unit; did you mean 2s?
	// unknown field: true
}

// A revision is of what replicas run with: bounds and queues may change without a restart.
func ExampleRevision() {
	spec := functions.Spec{Runtime: functions.Runtime{Image: "registry.example/llama:1"}}
	before := functions.Revision(spec)
	spec.Scaling.Max = 9
	fmt.Println("raising max restarts replicas:", functions.Revision(spec) != before)
	spec.Runtime.Image = "registry.example/llama:2"
	fmt.Println("another image restarts replicas:", functions.Revision(spec) != before)
	// Output:
	// raising max restarts replicas: false
	// another image restarts replicas: true
}

func ExampleQuantity() {
	fmt.Println(functions.Quantity("40Gi").Bytes(), functions.Quantity("1.5").Milli())
	// Output: 42949672960 1500
}

func ExampleKeepAlive() {
	for _, k := range []functions.KeepAlive{"auto", "15m"} {
		fmt.Println(k.Auto(), k.D())
	}
	// Output:
	// true 0s
	// false 15m0s
}

// A job says on how many nodes it runs, or leaves that to a goal or to bounds.
func ExampleParseJobs() {
	list, err := functions.ParseJobs("job.yaml", []byte(`
apiVersion: stoker.dev/v1
kind: TrainingJob
metadata: {name: llama-sft}
spec:
  runtime: {image: registry.example/train/llama:7}
  resources: {gpusPerNode: 8}
  elastic: {min: 2, max: 8, step: 2}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(list[0].Key(), "on", list[0].Spec.Sizes(), "nodes; notice", list[0].Spec.Preemption.Grace)
	// Output: default/llama-sft on [2 4 6 8] nodes; notice 30s
}
