package kubetest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// visibleDevices is what NVIDIA's device plugin and container runtime tell a container about its GPUs.
const visibleDevices = "NVIDIA_VISIBLE_DEVICES"

// devices stand for a node's GPUs: each is one container's at a time, as the kubelet's device manager has it.
type devices struct {
	mu     sync.Mutex
	ids    []string
	holder map[string]types.UID
}

func newDevices(spec NodeSpec) *devices {
	d := &devices{holder: map[string]types.UID{}}
	for i := range max(0, spec.GPUs) {
		sum := sha256.Sum256(fmt.Append(nil, spec.Name, "/", i))
		d.ids = append(d.ids, fmt.Sprintf("GPU-%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
	}
	return d
}

// allocate gives a container the GPUs that it asks for, or none of them.
func (d *devices) allocate(pod types.UID, container *corev1.Container) ([]string, error) {
	quantity := container.Resources.Limits[GPUResource]
	want := int(quantity.Value())
	d.mu.Lock()
	defer d.mu.Unlock()
	var free []string
	for _, id := range d.ids {
		if _, taken := d.holder[id]; !taken {
			free = append(free, id)
		}
	}
	if len(free) < want {
		return nil, fmt.Errorf("Allocate failed due to requested number of devices unavailable for %s. Requested: %d, Available: %d, which is unexpected", //nolint:staticcheck // 2026-11-27: the kubelet's words
			GPUResource, want, len(free))
	}
	for _, id := range free[:want] {
		d.holder[id] = pod
	}
	return free[:want], nil
}

// release takes back what a Pod's containers hold.
func (d *devices) release(pod types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, holder := range d.holder {
		if holder == pod {
			delete(d.holder, id)
		}
	}
}

// GPUs are the UUIDs of the node's GPUs, in order.
func (n *HostNode) GPUs() []string { return slices.Clone(n.gpus.ids) }

// FreeGPUs are those that no container holds.
func (n *HostNode) FreeGPUs() []string {
	n.gpus.mu.Lock()
	defer n.gpus.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.gpus.ids), func(id string) bool { _, taken := n.gpus.holder[id]; return taken })
}

func joined(ids []string) string { return strings.Join(ids, ",") }
