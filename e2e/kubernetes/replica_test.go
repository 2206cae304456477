package kubernetes

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	client "k8s.io/client-go/kubernetes"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// numbers make IDs that no other test has used: an ID runs at most once.
var numbers atomic.Int64

// replica is one of one GPU on a node of a cluster; without a node the scheduler chooses.
func replica(namespace, node, device string) activities.ReplicaSpec {
	f := functions.Default(functions.Function{
		Metadata: functions.Metadata{Name: "chat", Namespace: namespace},
		Spec:     functions.Spec{Runtime: functions.Runtime{Image: "example/chat"}, Resources: functions.Resources{GPUs: 1}},
	})
	r := activities.ReplicaSpec{
		ID: fmt.Sprintf("chat-%d", numbers.Add(1)), Key: f.Key(), Revision: "r1", Spec: f.Spec,
		Lease: scale.Lease{Epoch: 1, Node: node}, Agent: events.AgentConfig{Stream: events.ShardStream(0)},
	}
	if device != "" {
		r.Lease.Devices = []string{device}
	}
	return r
}

// started starts a replica on a node and waits until it runs.
func started(t testing.TB, p activities.Provider, r activities.ReplicaSpec) activities.ReplicaSpec {
	t.Helper()
	if err := p.Start(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	await(t, p, r.ID, activities.RunRunning)
	return r
}

func await(t testing.TB, p activities.Provider, id string, want activities.RunState) activities.ReplicaStatus {
	t.Helper()
	eventually(t, id+" is "+string(want), func() bool { return status(t, p, id).State == want })
	return status(t, p, id)
}

// gone stops a replica and forgets it.
func gone(t testing.TB, p activities.Provider, id string) {
	t.Helper()
	if err := p.Stop(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	await(t, p, id, activities.RunGone)
	if err := p.Forget(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

// end checks how a replica ended.
func end(t testing.TB, p activities.Provider, id, cause, message string) {
	t.Helper()
	s := await(t, p, id, activities.RunGone)
	if s.Cause != cause || !strings.Contains(s.Message, message) || s.Ended.IsZero() {
		t.Errorf("ended by %q: %q at %v; want %q: %q", s.Cause, s.Message, s.Ended, cause, message)
	}
}

// note writes an annotation on a Pod of the default namespace; nil removes it.
func note(t testing.TB, c client.Interface, pod, key string, value any) {
	t.Helper()
	text := "null"
	if value != nil {
		text = fmt.Sprintf("%q", value)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, key, text)
	if _, err := c.CoreV1().Pods("default").Patch(t.Context(), pod, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// never fails if bad comes true within a short while.
func never(t testing.TB, what string, bad func() bool) {
	t.Helper()
	for until := time.Now().Add(calm); time.Now().Before(until); pause(t.Context()) {
		if bad() {
			t.Fatal(what)
		}
	}
}
