package kubetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// Names that NVIDIA's device plugin and GPU feature discovery give to what a node has.
const (
	GPUResource  = "nvidia.com/gpu"
	ProductLabel = "nvidia.com/gpu.product"
	MemoryLabel  = "nvidia.com/gpu.memory" // MiB of one GPU
	CountLabel   = "nvidia.com/gpu.count"
)

// simulatedLabel is on the nodes that kwok plays the kubelet of.
const simulatedLabel = "kubetest.stoker.dev/simulated"

// NodeSpec is what nodes are like. Fields that are zero stand for their defaults.
type NodeSpec struct {
	Count     int               // how many; 1
	Name      string            // beginning of their names, which end in -0, -1 and so on; "gpu"
	GPUs      int               // of each; 8, and none if negative
	Product   string            // as GPU feature discovery writes it; "NVIDIA-H100-80GB-HBM3"
	MemoryMiB int               // of each GPU; 81559
	CPU       string            // allocatable; "64"
	Memory    string            // allocatable; "512Gi"
	Pods      string            // allocatable; "110"
	Labels    map[string]string // beside the usual ones
	Taints    []corev1.Taint
}

func (s NodeSpec) withDefaults() NodeSpec {
	s.Count = cmp.Or(s.Count, 1)
	s.Name = cmp.Or(s.Name, "gpu")
	s.GPUs = cmp.Or(s.GPUs, 8)
	s.Product = cmp.Or(s.Product, "NVIDIA-H100-80GB-HBM3")
	s.MemoryMiB = cmp.Or(s.MemoryMiB, 81559)
	s.CPU = cmp.Or(s.CPU, "64")
	s.Memory = cmp.Or(s.Memory, "512Gi")
	s.Pods = cmp.Or(s.Pods, "110")
	return s
}

// node is a node as its kubelet and GPU feature discovery would register it.
func (s NodeSpec) node(name string) *corev1.Node {
	labels := map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
	}
	has := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(s.CPU), corev1.ResourceMemory: resource.MustParse(s.Memory),
		corev1.ResourcePods: resource.MustParse(s.Pods),
	}
	if s.GPUs > 0 {
		has[GPUResource] = *resource.NewQuantity(int64(s.GPUs), resource.DecimalSI)
		labels[ProductLabel], labels[MemoryLabel], labels[CountLabel] = s.Product, fmt.Sprint(s.MemoryMiB), fmt.Sprint(s.GPUs)
	}
	maps.Copy(labels, s.Labels)
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.NodeSpec{Taints: s.Taints},
		Status: corev1.NodeStatus{
			Capacity: has, Allocatable: has,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}, {Type: corev1.NodeHostName, Address: name},
			},
		},
	}
}

// AddNodes adds simulated nodes, waits until Pods can be scheduled on them, and returns their names.
func (c *Cluster) AddNodes(t testing.TB, spec NodeSpec) []string {
	t.Helper()
	names, err := c.Grow(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Grow is [Cluster.AddNodes] without a test.
func (c *Cluster) Grow(ctx context.Context, spec NodeSpec) ([]string, error) {
	spec = spec.withDefaults()
	names := make([]string, spec.Count)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", spec.Name, i)
		node := spec.node(names[i])
		node.Labels[simulatedLabel] = "true"
		if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("add node %s: %w", names[i], err)
		}
	}
	for _, name := range names {
		if err := c.awaitNode(ctx, name, true); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// WaitNode waits until a node is Ready and free of the taints that nodes get while they are not, or the opposite.
func (c *Cluster) WaitNode(t testing.TB, name string, ready bool) {
	t.Helper()
	if err := c.awaitNode(t.Context(), name, ready); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) awaitNode(ctx context.Context, name string, ready bool) error {
	return until(ctx, fmt.Sprintf("node %s is ready: %t", name, ready), func(ctx context.Context) (bool, any) {
		node, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		if !ready {
			return !nodeReady(node), node.Status.Conditions
		}
		return nodeReady(node) && !notReadyTaint(node), node.Spec.Taints
	})
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func notReadyTaint(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeUnreachable {
			return true
		}
	}
	return false
}

// Cordon keeps new Pods off a node.
func (c *Cluster) Cordon(t testing.TB, name string) { t.Helper(); c.setCordon(t, name, true) }

// Uncordon ends what [Cluster.Cordon] began.
func (c *Cluster) Uncordon(t testing.TB, name string) { t.Helper(); c.setCordon(t, name, false) }

func (c *Cluster) setCordon(t testing.TB, name string, on bool) {
	t.Helper()
	c.updateNode(t, name, func(node *corev1.Node) { node.Spec.Unschedulable = on })
}

// Taint puts a taint on a node.
func (c *Cluster) Taint(t testing.TB, name string, taint corev1.Taint) {
	t.Helper()
	c.updateNode(t, name, func(node *corev1.Node) { node.Spec.Taints = append(node.Spec.Taints, taint) })
}

// Untaint removes all taints with a key from a node.
func (c *Cluster) Untaint(t testing.TB, name, key string) {
	t.Helper()
	c.updateNode(t, name, func(node *corev1.Node) {
		var kept []corev1.Taint
		for _, taint := range node.Spec.Taints {
			if taint.Key != key {
				kept = append(kept, taint)
			}
		}
		node.Spec.Taints = kept
	})
}

// updateNode changes a node; the controller manager writes to it too, so a conflict is tried again.
func (c *Cluster) updateNode(t testing.TB, name string, change func(*corev1.Node)) {
	t.Helper()
	nodes := c.client.CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node, err := nodes.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(node)
		_, err = nodes.Update(t.Context(), node, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatalf("change node %s: %v", name, err)
	}
}

// DeleteNode deletes a node's object. Its Pods go with the garbage collector, after 40 s to 60 s, as in any cluster.
func (c *Cluster) DeleteNode(t testing.TB, name string) {
	t.Helper()
	if err := c.client.CoreV1().Nodes().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatalf("delete node %s: %v", name, err)
	}
}

// FailNode makes a simulated node silent, as one that lost power or its network: its Pods stay as they are, and after
// [NodeGrace] it is NotReady. [Cluster.ReturnNode] ends that.
func (c *Cluster) FailNode(t testing.TB, name string) { t.Helper(); c.setSimulated(t, name, nil) }

// ReturnNode lets a node speak that [Cluster.FailNode] made silent.
func (c *Cluster) ReturnNode(t testing.TB, name string) { t.Helper(); c.setSimulated(t, name, "true") }

func (c *Cluster) setSimulated(t testing.TB, name string, value any) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{simulatedLabel: value}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.CoreV1().Nodes().Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatalf("change node %s: %v", name, err)
	}
}

// disown takes the leases of simulated nodes from a kwok that is dead, and returns the nodes' names. Its successor,
// which has a name of its own, would wait for them to run out and could overlook Pods that come in that moment.
func (c *Cluster) disown(t testing.TB) []string {
	t.Helper()
	nodes, err := c.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: simulatedLabel + "=true"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, node := range nodes.Items {
		err := c.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Delete(t.Context(), node.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		names = append(names, node.Name)
	}
	return names
}

// waitOwned waits until kwok holds these nodes' leases.
func (c *Cluster) waitOwned(t testing.TB, nodes []string) {
	t.Helper()
	for _, name := range nodes {
		Eventually(t, "kwok looks after node "+name, func(ctx context.Context) (bool, any) {
			_, err := c.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, name, metav1.GetOptions{})
			return err == nil, err
		})
	}
}
