//go:build cgo && linux

package nvml

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"stoker.dev/stoker/events"
)

// openTimeout bounds the driver's initialisation. Without persistence mode it loads firmware
// into each GPU, about a second apiece.
const openTimeout = 30 * time.Second

// driver is the real [Library].
type driver struct {
	lib  nvml.Interface
	turn chan struct{} // a token: the driver is asked one thing at a time
	xids nvml.EventSet // nil where the driver has no events
	told []Xid         // what was read of xids, the newest maxXids
	bad  map[string]string
	seen map[int]Device // by index, for a GPU that no longer answers
}

// Open loads the driver's library. It returns [ErrNotAvailable] where there is no driver.
func Open() (Library, error) { return open(nvml.New()) }

// open starts lib, which tests replace by NVIDIA's own mock of a DGX.
func open(lib nvml.Interface) (Library, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	d := &driver{lib: lib, turn: make(chan struct{}, 1), bad: map[string]string{}, seen: map[int]Device{}}
	return ask(ctx, d, func() (Library, error) {
		if ret := lib.Init(); ret != nvml.SUCCESS {
			return nil, fmt.Errorf("%w: %w", ErrNotAvailable, failure("initialise", ret))
		}
		d.subscribe()
		return d, nil
	})
}

// Devices implements [Library].
func (d *driver) Devices(ctx context.Context) ([]Device, error) {
	return ask(ctx, d, d.list)
}

// Sample implements [Library].
func (d *driver) Sample(ctx context.Context, uuids ...string) ([]events.GPUSample, error) {
	return ask(ctx, d, func() ([]events.GPUSample, error) { return d.sample(uuids) })
}

// Faults implements [Library].
func (d *driver) Faults(ctx context.Context, uuids ...string) (Faults, error) {
	return ask(ctx, d, func() (Faults, error) { return d.faults(uuids) })
}

// Close implements [Library]. A driver that hangs is left alone: the process's end frees it.
func (d *driver) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	_, err := ask(ctx, d, func() (struct{}, error) {
		var err error
		if d.xids != nil {
			if ret := d.xids.Free(); ret != nvml.SUCCESS {
				err = failure("free the event set", ret)
			}
			d.xids = nil
		}
		if ret := d.lib.Shutdown(); ret != nvml.SUCCESS {
			err = errors.Join(err, failure("shut down", ret))
		}
		return struct{}{}, err
	})
	return err
}

// ask calls into the driver, which cannot be interrupted, and returns with ctx at the latest.
// A call left behind keeps its turn until the driver answers, so that at most one goroutine
// hangs there.
func ask[T any](ctx context.Context, d *driver, call func() (T, error)) (T, error) {
	var zero T
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return zero, errors.Join(ErrBusy, ctx.Err())
	}
	type answer struct {
		value T
		err   error
	}
	got := make(chan answer, 1)
	go func() {
		defer func() { <-d.turn }()
		v, err := call()
		got <- answer{v, err}
	}()
	select {
	case a := <-got:
		return a.value, a.err
	case <-ctx.Done():
		return zero, errors.Join(ErrBusy, ctx.Err())
	}
}

// failure is an answer of the driver as an error.
func failure(what string, ret nvml.Return) error {
	return fmt.Errorf("NVML: %s: %s", what, ret.Error())
}
