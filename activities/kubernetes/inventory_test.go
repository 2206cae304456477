package kubernetes

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stoker.dev/stoker/scale"
)

// unused is a client that a test of values has no use for.
type unused struct{ kubernetes.Interface }

// node has GPUs, of which some are allocatable.
func node(name string, gpus, usable int64) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{LabelProduct: "NVIDIA-H100-80GB-HBM3", LabelMemory: "81559"}},
		Status: corev1.NodeStatus{
			Capacity:    corev1.ResourceList{ResourceGPU: *resource.NewQuantity(gpus, resource.DecimalSI)},
			Allocatable: corev1.ResourceList{ResourceGPU: *resource.NewQuantity(usable, resource.DecimalSI)},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

// holder is somebody else's Pod with GPUs.
func holder(name, node string, gpus int64, age time.Duration) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "research", CreationTimestamp: metav1.NewTime(began.Add(-age))}}
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{ResourceGPU: *resource.NewQuantity(gpus, resource.DecimalSI)},
	}}}
	return p
}

// shown is a device in a few words.
func shown(d scale.Device) string {
	s := d.Node + "/" + d.ID
	if d.Foreign != "" {
		s += " " + d.Foreign
	}
	if !d.Healthy {
		s += " out"
	}
	return s
}

func TestInventory(t *testing.T) {
	mine := scenario(func(*corev1.Pod) {}) // gpu-00 and gpu-01 of node-1
	onLast := scenario(func(p *corev1.Pod) { p.Annotations[AnnotationDevices] = "gpu-02,gpu-03" })
	reserved := scenario(func(p *corev1.Pod) { p.Spec.NodeName = ""; pending(p) })
	change := func(n *corev1.Node, f func(*corev1.Node)) *corev1.Node { f(n); return n }
	for _, c := range []struct {
		name    string
		fleet   fleet
		nodes   []string
		devices []string
	}{
		{"nobody", fleet{}, nil, nil},
		{"a node without GPUs is listed", fleet{nodes: []*corev1.Node{node("cpu-1", 0, 0)}}, []string{"cpu-1"}, nil},
		{"in order", fleet{nodes: []*corev1.Node{node("b", 1, 1), node("a", 1, 1)}}, []string{"a", "b"}, []string{"a/gpu-00", "b/gpu-00"}},
		{"a node out of reach is not listed", fleet{nodes: []*corev1.Node{change(node("a", 1, 1), func(n *corev1.Node) {
			n.Status.Conditions[0].Status = corev1.ConditionUnknown
		})}}, nil, nil},
		{"a cordoned node takes nothing new", fleet{nodes: []*corev1.Node{change(node("a", 1, 1), func(n *corev1.Node) { n.Spec.Unschedulable = true })}},
			[]string{"a"}, []string{"a/gpu-00 out"}},
		{"a node set apart", fleet{nodes: []*corev1.Node{change(node("a", 1, 1), func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "team", Value: "b", Effect: corev1.TaintEffectNoSchedule}}
		})}}, []string{"a"}, []string{"a/gpu-00 out"}},
		{"the taint of GPU nodes is tolerated", fleet{nodes: []*corev1.Node{change(node("a", 1, 1), func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "nvidia.com/gpu", Value: "present", Effect: corev1.TaintEffectNoSchedule}}
		})}}, []string{"a"}, []string{"a/gpu-00"}},
		{"a preference is none", fleet{nodes: []*corev1.Node{change(node("a", 1, 1), func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "team", Effect: corev1.TaintEffectPreferNoSchedule}}
		})}}, []string{"a"}, []string{"a/gpu-00"}},
		{"others have the last ones, oldest first", fleet{
			nodes: []*corev1.Node{node("node-1", 4, 4)},
			other: []*corev1.Pod{holder("young", "node-1", 1, time.Minute), holder("old", "node-1", 1, time.Hour), holder("elsewhere", "node-2", 4, time.Hour)},
		}, []string{"node-1"}, []string{"node-1/gpu-00", "node-1/gpu-01", "node-1/gpu-02 Pod research/young", "node-1/gpu-03 Pod research/old"}},
		{"ours keep theirs", fleet{
			nodes: []*corev1.Node{node("node-1", 4, 4)}, ours: []*corev1.Pod{onLast}, other: []*corev1.Pod{holder("x", "node-1", 1, 0)},
		}, []string{"node-1"}, []string{"node-1/gpu-00", "node-1/gpu-01 Pod research/x", "node-1/gpu-02", "node-1/gpu-03"}},
		{"also before they are scheduled", fleet{
			nodes: []*corev1.Node{node("node-1", 3, 3)}, ours: []*corev1.Pod{reserved}, other: []*corev1.Pod{holder("x", "node-1", 1, 0)},
		}, []string{"node-1"}, []string{"node-1/gpu-00", "node-1/gpu-01", "node-1/gpu-02 Pod research/x"}},
		{"others were faster", fleet{
			nodes: []*corev1.Node{node("node-1", 2, 2)}, ours: []*corev1.Pod{reserved}, other: []*corev1.Pod{holder("x", "node-1", 1, 0)},
		}, []string{"node-1"}, []string{"node-1/gpu-00", "node-1/gpu-01 Pod research/x"}},
		{"what ended holds nothing", fleet{nodes: []*corev1.Node{node("node-1", 1, 1)}, other: []*corev1.Pod{func() *corev1.Pod {
			p := holder("x", "node-1", 1, 0)
			p.Status.Phase = corev1.PodSucceeded
			return p
		}()}}, []string{"node-1"}, []string{"node-1/gpu-00"}},
		{"one is broken", fleet{nodes: []*corev1.Node{node("node-1", 4, 3)}, ours: []*corev1.Pod{mine}, other: []*corev1.Pod{holder("x", "node-1", 1, 0)}},
			[]string{"node-1"}, []string{"node-1/gpu-00", "node-1/gpu-01", "node-1/gpu-02 Pod research/x", "node-1/gpu-03 out"}},
		{"more foreign than free changes nothing of ours", fleet{nodes: []*corev1.Node{node("node-1", 2, 2)}, ours: []*corev1.Pod{mine}, other: []*corev1.Pod{holder("x", "node-1", 1, 0)}},
			[]string{"node-1"}, []string{"node-1/gpu-00", "node-1/gpu-01"}},
	} {
		inv := c.fleet.inventory(Options{}.tolerations())
		var got []string
		for _, d := range inv.Devices {
			got = append(got, shown(d))
		}
		if !slices.Equal(inv.Nodes, c.nodes) || !slices.Equal(got, c.devices) {
			t.Errorf("%s: nodes %q, devices %q\nwant %q, %q", c.name, inv.Nodes, got, c.nodes, c.devices)
		}
	}
}

func TestADeviceSaysWhatItIs(t *testing.T) {
	inv := fleet{nodes: []*corev1.Node{node("a", 1, 1)}}.inventory(nil)
	want := scale.Device{ID: "gpu-00", Node: "a", Product: "NVIDIA-H100-80GB-HBM3", Memory: 81559 << 20, Healthy: true}
	if len(inv.Devices) != 1 || inv.Devices[0] != want {
		t.Errorf("%+v, want %+v", inv.Devices, want)
	}
}

// TestOthersAreKeptSlim holds that what is dropped of a foreign Pod does not change what is read of it.
func TestOthersAreKeptSlim(t *testing.T) {
	p := holder("x", "node-1", 2, time.Hour)
	p.Labels, p.Annotations = map[string]string{"app": "x"}, map[string]string{"large": "text"}
	p.Spec.InitContainers = holder("", "", 3, 0).Spec.Containers
	kept, err := slim("default")(p.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	thin := kept.(*corev1.Pod)
	if gpusOf(thin) != 3 || gpusOf(p) != 3 { // an init container's need counts while it lasts
		t.Errorf("%d GPUs are kept of %d", gpusOf(thin), gpusOf(p))
	}
	if thin.Labels != nil || thin.Annotations != nil || thin.Name != p.Name || thin.Spec.NodeName != p.Spec.NodeName || !thin.CreationTimestamp.Equal(&p.CreationTimestamp) {
		t.Errorf("kept: %+v", thin)
	}
	ours := scenario(func(*corev1.Pod) {})
	ours.ManagedFields = []metav1.ManagedFieldsEntry{{}}
	if kept, _ := slim("default")(ours); kept != any(ours) || ours.ManagedFields != nil || ours.Labels[LabelFunction] != "chat" {
		t.Errorf("of ours was kept: %+v", kept)
	}
}
