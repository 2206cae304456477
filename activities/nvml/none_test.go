//go:build !cgo || !linux

package nvml

import (
	"errors"
	"strings"
	"testing"
)

func TestWithoutCgoItSaysSo(t *testing.T) {
	if _, err := Devices(t.Context()); !errors.Is(err, ErrNotAvailable) || !strings.Contains(err.Error(), "not available: built without cgo") {
		t.Errorf("without cgo: %v", err)
	}
}
