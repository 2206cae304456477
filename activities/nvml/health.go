//go:build cgo && linux

package nvml

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// applicationXids are errors a program causes by itself (a bad kernel, a page fault, a preempted
// channel): the next program runs well on the same GPU. NVIDIA's Kubernetes device plugin
// ignores the same ones. Source: https://docs.nvidia.com/deploy/xid-errors/
var applicationXids = map[uint64]bool{13: true, 31: true, 43: true, 45: true, 68: true, 109: true}

// maxXids bounds the events read at a time, and those that are remembered, should a broken GPU report without end.
const maxXids = 256

// subscribe asks for the driver's critical errors, as far as its products have them.
func (d *driver) subscribe() {
	set, ret := d.lib.EventSetCreate()
	if ret != nvml.SUCCESS {
		return
	}
	n, ret := d.lib.DeviceGetCount()
	if ret != nvml.SUCCESS {
		_ = set.Free() // the next question tells of the same trouble
		return
	}
	for i := range n {
		if h, ret := d.lib.DeviceGetHandleByIndex(i); ret == nvml.SUCCESS {
			_ = h.RegisterEvents(nvml.EventTypeXidCriticalError, set) // a GPU without events has its counters
		}
	}
	d.xids = set
}

// collect notes the critical errors reported since it was last called. A GPU that had one stays
// unhealthy until the library is opened anew, as its driver asks for a reset.
func (d *driver) collect() {
	if d.xids == nil {
		return
	}
	for range maxXids {
		e, ret := d.xids.Wait(0)
		if ret != nvml.SUCCESS { // ERROR_TIMEOUT: none waits
			return
		}
		uuid, ret := e.Device.GetUUID()
		if e.EventType != nvml.EventTypeXidCriticalError || ret != nvml.SUCCESS {
			continue
		}
		d.told = append(d.told, Xid{UUID: uuid, Code: int(e.EventData), Seen: time.Now()})
		d.told = d.told[max(0, len(d.told)-maxXids):]
		if !applicationXids[e.EventData] {
			d.bad[uuid] = fmt.Sprintf("Xid %d: see https://docs.nvidia.com/deploy/xid-errors/", e.EventData)
		}
	}
}

func (d *driver) faults(uuids []string) (Faults, error) {
	d.collect()
	var f Faults
	for _, x := range d.told {
		if slices.Contains(uuids, x.UUID) {
			f.Xids = append(f.Xids, x)
		}
	}
	handles, err := d.handles(uuids)
	for _, h := range handles {
		f.Recovery = max(f.Recovery, recovery(h))
	}
	return f, err
}

// recovery is what the driver wants done to a GPU; drivers before 560 do not say, which is taken for nothing.
func recovery(h nvml.Device) int {
	values := []nvml.FieldValue{{FieldId: nvml.FI_DEV_GET_GPU_RECOVERY_ACTION}}
	if ret := h.GetFieldValues(values); ret != nvml.SUCCESS || nvml.Return(values[0].NvmlReturn) != nvml.SUCCESS {
		return 0
	}
	return int(binary.NativeEndian.Uint32(values[0].Value[:]))
}

// unhealthy says why nothing may be placed on a GPU, or "".
func (d *driver) unhealthy(h nvml.Device, uuid string) string {
	if why := d.bad[uuid]; why != "" {
		return why
	}
	if mode, _, ret := h.GetMigMode(); ret == nvml.SUCCESS && mode == nvml.DEVICE_MIG_ENABLE {
		return "MIG mode is on, and whole GPUs are placed: turn it off with nvidia-smi -mig 0"
	}
	return memoryFault(h)
}

// memoryFault reads the memory's own account. From Ampere on, rows are remapped and only a
// pending or failed remap is a reason; older GPUs count errors until the driver is reloaded.
func memoryFault(h nvml.Device) string {
	if _, _, pending, failed, ret := h.GetRemappedRows(); ret == nvml.SUCCESS {
		switch {
		case failed:
			return "a memory row could not be remapped: replace the GPU"
		case pending:
			return "a memory row waits to be remapped: reset the GPU"
		}
		return ""
	}
	n, ret := h.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC)
	if ret == nvml.SUCCESS && n > 0 {
		return fmt.Sprintf("%d uncorrected memory errors: reset the GPU", n)
	}
	return ""
}
