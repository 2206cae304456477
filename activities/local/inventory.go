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
		inv.Devices = append(inv.Devices, dev)
	}
	l.see(found)
	return inv, nil
}

// see remembers what GPUs there are, and tells once when one falls ill or recovers.
func (l *Local) see(found []nvml.Device) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := make(map[string]string, len(found))
	for _, d := range found {
		seen[d.UUID] = d.Unhealthy
		before := l.gpus[d.UUID]
		switch d.Unhealthy {
		case before:
		case "":
			l.log.Info("a GPU is used again", "gpu", d.UUID)
		default:
			l.log.Warn("a GPU is not used", "gpu", d.UUID, "why", d.Unhealthy)
		}
	}
	l.gpus = seen
}

// checkDevices refuses a lease on GPUs that are not here: the model server would find none. The
// driver is asked only for one that was not seen before; asking takes a while.
func (l *Local) checkDevices(ctx context.Context, spec activities.ReplicaSpec) error {
	if l.known(spec.Lease.Devices) {
		return nil
	}
	have, err := l.o.GPUs.Devices(ctx)
	if err != nil {
		return fmt.Errorf("list the GPUs for replica %s: %w", spec.ID, err)
	}
	l.see(have)
	if !l.known(spec.Lease.Devices) {
		var names []string
		for _, d := range have {
			names = append(names, d.UUID)
		}
		return fmt.Errorf("%w: replica %s: its lease names the GPUs %q; %s has %q", activities.ErrBadSpec, spec.ID, spec.Lease.Devices, l.o.Node, names)
	}
	return nil
}

// known tells whether all devices were there when last looked.
func (l *Local) known(devices []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range devices {
		if _, there := l.gpus[d]; !there {
			return false
		}
	}
	return true
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
