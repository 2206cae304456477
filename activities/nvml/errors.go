package nvml

import "errors"

// Sentinels of this package.
var (
	// ErrNotAvailable is returned when GPUs cannot be asked: built without cgo, or no driver.
	// The text says which.
	ErrNotAvailable = errors.New("NVML is not available")
	// ErrBusy is returned when an earlier call is still stuck in the driver.
	ErrBusy = errors.New("the NVIDIA driver has not answered an earlier call yet")
)
