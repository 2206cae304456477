package kubernetes

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/scale"
)

// mebi is the unit of a node's memory label.
const mebi = 1 << 20

// fleet is what an inventory is made of: the newest that the informers know.
type fleet struct {
	nodes []*corev1.Node
	ours  []*corev1.Pod // of this pool, those that ended left out
	other []*corev1.Pod // everybody else's, slim
}

// inventory lists the nodes that are ready, with their GPUs.
func (f fleet) inventory(tolerations []corev1.Toleration) activities.Inventory {
	ours, foreign := f.held(), f.foreign()
	nodes := slices.SortedFunc(slices.Values(f.nodes), func(a, b *corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	var inv activities.Inventory
	for _, n := range nodes {
		if ready(n) {
			inv.Nodes = append(inv.Nodes, n.Name)
			inv.Devices = append(inv.Devices, devices(n, ours[n.Name], foreign[n.Name], open(n, tolerations))...)
		}
	}
	return inv
}

// devices makes up the GPUs of a node. Which of them are broken or foreign a cluster does not say,
// only how many: the last ones that no lease of ours names. What does not fit beside those is where
// ours were placed and have not come: others were faster, and nothing more may be placed there.
func devices(n *corev1.Node, ours map[string]bool, foreign []string, open bool) []scale.Device {
	capacity, usable := n.Status.Capacity[ResourceGPU], n.Status.Allocatable[ResourceGPU]
	out := make([]scale.Device, max(capacity.Value(), usable.Value()))
	memory, _ := strconv.ParseUint(n.Labels[LabelMemory], 10, 64) // 0 without discovery: unknown
	broken := len(out) - int(usable.Value())
	for i := len(out) - 1; i >= 0; i-- {
		d := scale.Device{ID: deviceID(i), Node: n.Name, Product: n.Labels[LabelProduct], Memory: memory * mebi, Healthy: open}
		_, named := ours[d.ID]
		switch {
		case named:
		case broken > 0:
			d.Healthy = false
			broken--
		case len(foreign) > 0:
			d.Foreign, foreign = foreign[0], foreign[1:]
		}
		out[i] = d
	}
	for i := len(out) - 1; i >= 0 && len(foreign) > 0; i-- {
		if there, named := ours[out[i].ID]; named && !there {
			out[i].Foreign, foreign = foreign[0], foreign[1:]
		}
	}
	return out
}

// deviceID sorts as it counts on every machine there is.
func deviceID(i int) string { return fmt.Sprintf("gpu-%02d", i) }

// ready tells whether a node is in reach.
func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// open tells whether the scheduler would put a replica on a node: it is neither cordoned nor
// tainted against it.
func open(n *corev1.Node, tolerations []corev1.Toleration) bool {
	if n.Spec.Unschedulable {
		return false
	}
	keepsOut := func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }
	_, untolerated := scheduling.FindMatchingUntoleratedTaint(klog.Background(), n.Spec.Taints, tolerations, keepsOut, false)
	return !untolerated
}

// held are the devices that leases of ours name, by node, and whether the Pod is there already.
func (f fleet) held() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, p := range f.ours {
		node := nodeOf(p)
		if out[node] == nil {
			out[node] = map[string]bool{}
		}
		for _, d := range devicesOf(p) {
			out[node][d] = p.Spec.NodeName != ""
		}
	}
	return out
}

// foreign names who else holds GPUs, by node, once for each GPU and in an order that stays.
func (f fleet) foreign() map[string][]string {
	pods := slices.SortedFunc(slices.Values(f.other), func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	out := map[string][]string{}
	for _, p := range pods {
		if p.Spec.NodeName == "" || ended(p) {
			continue
		}
		for range gpusOf(p) {
			out[p.Spec.NodeName] = append(out[p.Spec.NodeName], "Pod "+p.Namespace+"/"+p.Name)
		}
	}
	return out
}

// gpusOf is how many GPUs a Pod has for itself, by the scheduler's own count.
func gpusOf(p *corev1.Pod) int {
	q := resource.PodRequests(p, resource.PodResourcesOptions{})[ResourceGPU]
	return int(q.Value())
}

// nodeOf is the node a Pod is on, or was placed on.
func nodeOf(p *corev1.Pod) string {
	if p.Spec.NodeName != "" || p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil {
		return p.Spec.NodeName
	}
	required := p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil || len(required.NodeSelectorTerms) != 1 || len(required.NodeSelectorTerms[0].MatchFields) != 1 {
		return ""
	}
	return required.NodeSelectorTerms[0].MatchFields[0].Values[0]
}

// slim is the transform of the Pods' informer: of others' Pods only what they hold is kept, since
// a cluster may have very many.
func slim(pool string) func(any) (any, error) {
	return func(obj any) (any, error) {
		p, isPod := obj.(*corev1.Pod)
		if !isPod {
			return obj, nil // a tombstone of the informer's
		}
		p.ManagedFields = nil
		if p.Labels[LabelPool] == pool {
			return p, nil
		}
		thin := &corev1.Pod{}
		thin.Name, thin.Namespace, thin.UID, thin.ResourceVersion = p.Name, p.Namespace, p.UID, p.ResourceVersion
		thin.CreationTimestamp, thin.DeletionTimestamp = p.CreationTimestamp, p.DeletionTimestamp
		thin.Spec.NodeName, thin.Status.Phase = p.Spec.NodeName, p.Status.Phase
		if q, holds := resource.PodRequests(p, resource.PodResourcesOptions{})[ResourceGPU]; holds {
			thin.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{ResourceGPU: q}}}}
		}
		return thin, nil
	}
}

// slimNode keeps of a node what is read here: a heartbeat must not carry its list of images along.
func slimNode(obj any) (any, error) {
	n, isNode := obj.(*corev1.Node)
	if !isNode {
		return obj, nil
	}
	n.ManagedFields, n.Status.Images, n.Status.VolumesAttached, n.Status.VolumesInUse = nil, nil, nil, nil
	return n, nil
}
