package main

import (
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

const manifestText = `
apiVersion: stoker.dev/v1
kind: Function
metadata: {name: tinylm}
spec:
  runtime: {protocol: openai, local: {command: [tinylm, serve]}}
  scaling: {max: 4, slots: 8}
`

// fixtures are three functions, by name: one that fails, one that serves, one at zero elsewhere.
func fixtures() []api.Function { return []api.Function{failing(), serving(), atZero()} }

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func serving() api.Function {
	parsed, err := functions.Parse("fixture", []byte(manifestText))
	if err != nil {
		panic(err)
	}
	f := api.Function{
		Key: functions.Key{Namespace: "default", Name: "tinylm"}, Generation: 3, Revision: "dd46830760", Phase: scale.PhaseServing,
		Applied: ago(26 * time.Hour), Target: 3, Ready: 2, Starting: 1, Max: 4, Slots: 8, GPUs: 1,
		Pending:  map[functions.Class]int{functions.Interactive: 12, functions.Batch: 300},
		InFlight: 15, Dead: 2, Served: 20411, Failed: 7,
		Last: scale.Decision{
			Epoch: 41, At: ago(75 * time.Second), Target: 3, Wanted: 5, Reason: scale.ReasonBacklog, Limit: scale.ReasonNoGPU, Phase: scale.PhaseServing,
		},
		ColdStart: &api.ColdStart{
			Replica: "tinylm-3f9c1e0a57", At: ago(4 * time.Minute), ReserveMS: 3.1, SpawnMS: 18.4, LoadMS: 41, ReadyMS: 2190, FirstByteMS: 64, TotalMS: 2252.5,
		},
		GPUSeconds: api.Split{Useful: 812.4, Cold: 12.9, Idle: 88.1, Draining: 4.2, Unknown: 0.3},
		Manifest:   parsed[0], Workflow: "function/default/tinylm",
	}
	f.Replicas = []api.Replica{
		replica("tinylm-3f9c1e0a57", "ready", 4*time.Minute, 8), replica("tinylm-70bb12ce9d", "ready", 3*time.Minute, 7),
		replica("tinylm-c2d4410f6e", "loading", 2*time.Second, 0),
	}
	return f
}

func replica(id, phase string, since time.Duration, inFlight int) api.Replica {
	return api.Replica{
		ID: id, Revision: "dd46830760", Phase: phase, Since: ago(since), Node: "gpu-node-07", PID: 401223, ServerPID: 401230,
		InFlight: inFlight, Slots: 8, Served: uint64(1000 * inFlight), LastBeat: ago(time.Second),
	}
}

func failing() api.Function {
	f := atZero()
	f.Key = functions.Key{Namespace: "default", Name: "broken"}
	f.Phase, f.Workflow = scale.PhaseFailing, "function/default/broken"
	f.Last = scale.Decision{Epoch: 9, At: ago(20 * time.Second), Target: 0, Wanted: 1, Reason: scale.ReasonFailing, Limit: scale.ReasonBackoff, Phase: scale.PhaseFailing}
	f.Failure = &api.Failure{
		Replica: "broken-9a1b2c3d4e", Cause: "crashed", ExitCode: 1, At: ago(21 * time.Second),
		Message: "Traceback (most recent call last):\n  File \"serve.py\", line 3, in <module>\n    import torch\nModuleNotFoundError: No module named 'torch'\n",
	}
	return f
}

func atZero() api.Function {
	return api.Function{
		Key: functions.Key{Namespace: "chat", Name: "qwen"}, Generation: 1, Revision: "0123456789", Phase: scale.PhaseZero, Applied: ago(90 * time.Minute),
		Max: 2, Slots: 1, GPUs: 1, Workflow: "function/chat/qwen",
	}
}

func explainFixture() api.Explanation {
	inputs := scale.Inputs{Pending: 312, InFlight: 15, Ready: 2, Slots: 8, Max: 4, ServiceSec: 0.214, ColdStartSec: 2.25}
	first := scale.Inputs{Pending: 1, FreeGPUs: 4, Slots: 8, Max: 4, ServiceSec: 1, ColdStartSec: 5, IdleSec: 731}
	return api.Explanation{
		Decisions: []scale.Decision{
			{Epoch: 41, At: ago(75 * time.Second), Target: 3, Wanted: 5, Reason: scale.ReasonBacklog, Limit: scale.ReasonNoGPU, Phase: scale.PhaseServing, Inputs: inputs},
			{Epoch: 40, At: ago(4 * time.Minute), Target: 1, Wanted: 1, Reason: scale.ReasonWakeFromZero, Phase: scale.PhaseWaking, Inputs: first},
		},
		Lines: []scale.Line{
			{Topic: scale.TopicNow, Text: "3 replicas are wanted, 2 serve: backlog"},
			{Topic: scale.TopicBigger, Reason: scale.ReasonNoGPU, Text: "no GPU is free; 2 more replicas are wanted"},
		},
		Holders: []scale.Holder{{Who: "function default/tinylm", GPUs: 3}, {Who: "foreign pid 123", GPUs: 1}}, Capacity: 4,
	}
}

func platformFixture() api.Platform {
	return api.Platform{
		Version: "dev", Started: ago(3 * time.Hour), Provider: "local", Capacity: 4, Free: 0, Holders: explainFixture().Holders, Functions: 3,
		NATS: "nats://127.0.0.1:4222", Temporal: "127.0.0.1:7233", HTTP: "http://127.0.0.1:8080",
	}
}
