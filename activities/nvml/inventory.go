//go:build cgo && linux

package nvml

import (
	"fmt"
	"os"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"stoker.dev/stoker/events"
)

// list reads every GPU. One that does not answer is listed as it was last seen, unhealthy.
func (d *driver) list() ([]Device, error) {
	n, ret := d.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, failure("count the GPUs", ret)
	}
	d.collect()
	var out []Device
	for i := range n {
		dev, err := d.read(i)
		if err == nil {
			d.seen[i] = dev
		} else if old, known := d.seen[i]; known {
			old.Unhealthy, old.Processes = err.Error(), nil
			dev = old
		} else {
			return nil, err
		}
		out = append(out, dev)
	}
	return out, nil
}

func (d *driver) read(index int) (Device, error) {
	h, ret := d.lib.DeviceGetHandleByIndex(index)
	if ret != nvml.SUCCESS {
		return Device{}, failure(fmt.Sprintf("open GPU %d", index), ret)
	}
	uuid, ret := h.GetUUID()
	if ret != nvml.SUCCESS {
		return Device{}, failure(fmt.Sprintf("read the UUID of GPU %d", index), ret)
	}
	name, ret := h.GetName()
	if ret != nvml.SUCCESS {
		return Device{}, failure("read the product of "+uuid, ret)
	}
	mem, ret := h.GetMemoryInfo()
	if ret != nvml.SUCCESS {
		return Device{}, failure("read the memory of "+uuid, ret)
	}
	return Device{
		UUID: uuid, Index: index, Product: name, Memory: mem.Total,
		Unhealthy: d.unhealthy(h, uuid), Processes: processes(h),
	}, nil
}

// processes lists who holds the GPU: CUDA programs, and a display server where there is one.
func processes(h nvml.Device) []Process {
	var out []Process
	compute, _ := h.GetComputeRunningProcesses() // a product that cannot say has no processes to us
	graphics, _ := h.GetGraphicsRunningProcesses()
	for _, p := range append(compute, graphics...) {
		used := p.UsedGpuMemory
		if used == ^uint64(0) { // NVML_VALUE_NOT_AVAILABLE
			used = 0
		}
		out = append(out, Process{PID: int(p.Pid), Name: command(int(p.Pid)), Memory: used})
	}
	return out
}

// command is a process's short name, empty when it is not in our namespace.
func command(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (d *driver) sample(uuids []string) ([]events.GPUSample, error) {
	handles, err := d.handles(uuids)
	if err != nil {
		return nil, err
	}
	var out []events.GPUSample
	for _, h := range handles {
		uuid, ret := h.GetUUID()
		if ret != nvml.SUCCESS {
			return nil, failure("read a UUID", ret)
		}
		mem, ret := h.GetMemoryInfo()
		if ret != nvml.SUCCESS {
			return nil, failure("read the memory of "+uuid, ret)
		}
		name, _ := h.GetName()
		s := events.GPUSample{UUID: uuid, Product: name, MemoryUsed: mem.Used, MemoryTotal: mem.Total}
		if u, ret := h.GetUtilizationRates(); ret == nvml.SUCCESS { // MIG has none
			s.Utilization = float64(u.Gpu) / 100
		}
		out = append(out, s)
	}
	return out, nil
}

func (d *driver) handles(uuids []string) ([]nvml.Device, error) {
	var out []nvml.Device
	for _, uuid := range uuids {
		h, ret := d.lib.DeviceGetHandleByUUID(uuid)
		if ret != nvml.SUCCESS {
			return nil, failure("open GPU "+uuid, ret)
		}
		out = append(out, h)
	}
	if len(uuids) > 0 {
		return out, nil
	}
	n, ret := d.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return nil, failure("count the GPUs", ret)
	}
	for i := range n {
		h, ret := d.lib.DeviceGetHandleByIndex(i)
		if ret != nvml.SUCCESS {
			return nil, failure(fmt.Sprintf("open GPU %d", i), ret)
		}
		out = append(out, h)
	}
	return out, nil
}
