package scale_test

import (
	"errors"
	"fmt"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// Twenty requests wait for a function at zero, two slots a replica, ten seconds allowed.
func ExampleDecide() {
	spec := scale.Spec{Revision: "3f9a1c02de", Max: 8, Slots: 2, Wait: 4 * time.Second, KeepAlive: scale.AutoKeepAlive, GPUs: 1}
	obs := scale.Observation{Pending: map[functions.Class]int{functions.Standard: 20}, FreeGPUs: 2}

	_, d := scale.Decide(spec, scale.State{}, obs, noon)

	fmt.Printf("%s: %d of %d, %s, limited by %s\n", d.Phase, d.Target, d.Wanted, d.Reason, d.Limit)
	// Output: Waking: 2 of 9, wake-from-zero, limited by no-gpu
}

func ExampleExplain() {
	spec := scale.Spec{Revision: "3f9a1c02de", Max: 1, Slots: 1, Wait: time.Second, KeepAlive: time.Minute, GPUs: 1}
	obs := scale.Observation{
		Pending:  map[functions.Class]int{functions.Interactive: 3},
		InFlight: 1,
		Replicas: []scale.Replica{{ID: "r1", Revision: "3f9a1c02de", Phase: scale.Ready, Since: noon, InFlight: 1}},
	}
	for _, line := range scale.Explain(spec, scale.State{}, obs, noon) {
		fmt.Printf("%s: %s\n", line.Topic, line.Text)
	}
	// Output:
	// now: Serving: target 1, 1 ready, 0 starting, 0 draining; 3 requests wait, 1 run; the manifest's maximum holds the number down
	// not bigger: 4 wanted, scaling.max is 1
	// not smaller: demand needs 4
}

func ExampleLedger() {
	var l scale.Ledger
	l.SetDevices("laptop", []scale.Device{{ID: "sim-0", Product: "simulated", Healthy: true}}, noon)

	lease, err := l.Reserve(scale.Ask{Holder: "r1", Owner: "function default/tinylm", GPUs: 1}, time.Minute, noon)
	fmt.Println(lease.State, lease.Devices, err)

	_, err = l.Reserve(scale.Ask{Holder: "r2", Owner: "function default/other", GPUs: 1}, time.Minute, noon)
	fmt.Println(errors.Is(err, scale.ErrNoCapacity), err)

	_ = l.Bind("r1", lease.Epoch, noon)
	_ = l.MarkDraining("r1", noon)
	fmt.Printf("%+v\n", l.Usage())

	_ = l.Release("r1", "drained", noon)
	fmt.Println(l.Free(nil, 0), "free")
	// Output:
	// reserved [sim-0] <nil>
	// true no capacity for function default/other: 1 GPU on one node asked for, 0 free in all; held by function default/tinylm (1)
	// {Capacity:1 Reserved:0 Bound:0 Draining:1 Unknown:0 Foreign:0 Unusable:0 Free:0}
	// 1 free
}

func ExampleReconcile() {
	told := scale.Split{Useful: 20, Cold: 4, Idle: 30}.Scale(2) // one replica's seconds on two GPUs
	got := scale.Reconcile(told, time.Minute, 2)
	fmt.Printf("%.0f GPU-seconds: %+v\n", got.Total(), got)
	// Output: 120 GPU-seconds: {Useful:40 Cold:8 Idle:60 Draining:0 Unknown:12}
}
