package kubernetes

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"stoker.dev/stoker/activities"
)

// blind is a provider that is told everything by its test.
func blind(t *testing.T) *Provider {
	t.Helper()
	o, err := Options{Client: unused{}, Namespace: "stoker", Pool: "default", Now: func() time.Time { return began }}.complete()
	if err != nil {
		t.Fatal(err)
	}
	nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	ready := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	ready.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if err := nodes.Add(ready); err != nil {
		t.Fatal(err)
	}
	p := &Provider{o: o, replicas: map[string]*replica{}, stopped: newStoppedIDs(o), claim: &claim{o: o}, nodes: corelisters.NewNodeLister(nodes)}
	p.ctx, p.cancel = t.Context(), func() {}
	return p
}

// told is a Pod of one replica ID as the API server tells it at some version.
func told(uid types.UID, version string, change func(*corev1.Pod)) *corev1.Pod {
	p := scenario(change)
	p.UID, p.ResourceVersion = uid, version
	return p
}

func pendingPod(p *corev1.Pod) { p.Status.ContainerStatuses, p.Status.InitContainerStatuses = nil, nil }

func deletedPod(p *corev1.Pod) { stopped(p, 0) }

// boardState is what a provider says of the one replica it has, empty if it has none.
func boardState(p *Provider) activities.RunState {
	for _, s := range p.board.List() {
		return s.State
	}
	return ""
}

// dropped sees a Pod and takes it out of sight, within an operation that the result ends.
func dropped(p *Provider) (leave func()) {
	first := told("first", "10", pendingPod)
	r := p.take(first.Name)
	p.seen(first)
	p.drop(first.Name)
	return func() { p.leave(first.Name, r) }
}

// TestWhatIsOutOfSightIsNotHeardOfAgain: the watch comes late with what became of the first Pod, while a
// second one of the same name runs.
func TestWhatIsOutOfSightIsNotHeardOfAgain(t *testing.T) {
	p := blind(t)
	leave := dropped(p)
	second := told("second", "20", func(*corev1.Pod) {})
	p.seen(second)
	leave()
	late := told("first", "15", deletedPod)
	for _, step := range []func(){func() { p.seen(told("first", "11", pendingPod)) }, func() { p.seen(late) }, func() { p.vanished(late) }, func() { p.seen(second) }} {
		step()
		if s := boardState(p); s != activities.RunRunning {
			t.Fatalf("the replica that runs is said to be %q", s)
		}
	}
}

// TestWhatIsOutOfSightLeavesNothingBehind: the watch comes late.
func TestWhatIsOutOfSightLeavesNothingBehind(t *testing.T) {
	p := blind(t)
	dropped(p)()
	late := told("first", "15", deletedPod)
	p.seen(late)
	if s := boardState(p); s != "" {
		t.Errorf("what was forgotten is said to be %s", s)
	}
	p.vanished(late)
	if len(p.replicas) != 0 {
		t.Errorf("%d entries are left", len(p.replicas))
	}
}

// TestACopyOfAPodIsNobody: somebody brings a replica's Pod into another namespace, labels and all, and takes it away.
func TestACopyOfAPodIsNobody(t *testing.T) {
	p := blind(t)
	p.seen(told("own", "10", func(*corev1.Pod) {}))
	copied := told("copy", "20", func(pod *corev1.Pod) { pod.Namespace = "backup" })
	p.seen(copied)
	p.vanished(copied)
	p.seen(told("own", "30", func(*corev1.Pod) {}))
	if s := boardState(p); s != activities.RunRunning {
		t.Errorf("the replica that runs is said to be %q", s)
	}
}

// TestNewsOfAnEarlierPodIsNone: an ID that was started again is its newest Pod, in whatever order it is told.
func TestNewsOfAnEarlierPodIsNone(t *testing.T) {
	p := blind(t)
	p.seen(told("second", "20", func(*corev1.Pod) {}))
	late := told("first", "15", deletedPod)
	p.seen(late)
	p.vanished(late)
	if s := boardState(p); s != activities.RunRunning {
		t.Errorf("the replica that runs is said to be %q", s)
	}
}
