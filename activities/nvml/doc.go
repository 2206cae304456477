// Package nvml tells what NVIDIA GPUs this machine has and how they are, through NVIDIA's own
// library. It needs cgo and a driver; without either every call says so with [ErrNotAvailable],
// and everything else of the platform works.
package nvml
