package local

import (
	"context"
	"fmt"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/nvml"
	"stoker.dev/stoker/scale"
)

// Inventory implements [activities.Provider]. A GPU is foreign when processes hold it and no
// replica of ours was given it. Processes are not compared one by one: in a container the
// driver gives numbers of another process namespace.
func (l *Local) Inventory(ctx context.Context) (activities.Inventory, error) {
	found, err := l.o.GPUs.Devices(ctx)
	if err != nil {
		return activities.Inventory{}, fmt.Errorf("list the GPUs of %s: %w", l.o.Node, err)
	}
	ours := l.held()
	inv := activities.Inventory{Nodes: []string{l.o.Node}}
	for _, d := range found {
		dev := scale.Device{ID: d.UUID, Node: l.o.Node, Product: d.Product, Memory: d.Memory, Healthy: d.Unhealthy == ""}
		if len(d.Processes) > 0 && !ours[d.UUID] {
			dev.Foreign = holder(d.Processes[0])
		}
		if !dev.Healthy {
			l.log.Warn("a GPU is not used", "gpu", d.UUID, "why", d.Unhealthy)
		}
		inv.Devices = append(inv.Devices, dev)
	}
	return inv, nil
}

// holder names a process for people.
func holder(p nvml.Process) string {
	if p.Name == "" {
		return fmt.Sprintf("pid %d", p.PID)
	}
	return fmt.Sprintf("pid %d (%s)", p.PID, p.Name)
}

// held are the devices given to replicas that are not gone.
func (l *Local) held() map[string]bool {
	out := map[string]bool{}
	for _, id := range l.ids() {
		r, err := l.take(id, false)
		if err != nil {
			continue // dropped meanwhile
		}
		if r.rec.begun() && !r.rec.Gone {
			for _, d := range r.rec.Devices {
				out[d] = true
			}
		}
		r.mu.Unlock()
	}
	return out
}
