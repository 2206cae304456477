//go:build !cgo || !linux

package nvml

import "fmt"

// Open would open the driver's library, which only a program built with cgo for Linux can.
func Open() (Library, error) {
	return nil, fmt.Errorf("%w: built without cgo", ErrNotAvailable)
}
