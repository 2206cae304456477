package nvml

import (
	"context"
	"time"

	"stoker.dev/stoker/events"
)

// Device is one GPU as its driver sees it.
type Device struct {
	UUID      string // "GPU-…"; what CUDA_VISIBLE_DEVICES takes
	Index     int    // the driver's own number, which may change with a restart
	Product   string // such as "NVIDIA H200"
	Memory    uint64 // bytes
	Unhealthy string // why nothing may be placed on it; empty: healthy
	Processes []Process
}

// Process is one process that holds memory on a GPU.
type Process struct {
	PID    int    // in the driver's process namespace, which inside a container is not ours
	Name   string // as far as it can be read
	Memory uint64 // bytes it holds; 0 when the driver does not say
}

// Xid is an error that the driver reported of a GPU, by NVIDIA's number for it.
type Xid struct {
	UUID string // of the GPU
	Code int
	Seen time.Time // when it was read: the driver does not say when it happened
}

// Faults are what the driver has against some GPUs.
type Faults struct {
	Xids     []Xid // since the library was opened, oldest first
	Recovery int   // the gravest action it wants taken: 0 none, 1 reset, 2 reboot of the node, …
}

// Library is the driver's library, opened. Its methods are safe for concurrent use and return
// with their context even when the driver hangs, as it does when a GPU falls off the bus.
type Library interface {
	// Devices lists every GPU in the driver's order.
	Devices(ctx context.Context) ([]Device, error)
	// Sample measures the GPUs of the given UUIDs, in that order; none given means all.
	Sample(ctx context.Context, uuids ...string) ([]events.GPUSample, error)
	// Faults tells what is wrong, or was, with the GPUs of the given UUIDs.
	Faults(ctx context.Context, uuids ...string) (Faults, error)
	// Close lets the library go.
	Close() error
}

// Devices opens the library, lists every GPU and closes it again, for a caller that asks once.
func Devices(ctx context.Context) ([]Device, error) {
	lib, err := Open()
	if err != nil {
		return nil, err
	}
	defer lib.Close()
	return lib.Devices(ctx)
}
