package profile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// Files are where the profiles of one run go; empty: none.
type Files struct {
	CPU string // the whole run
	Mem string // what was allocated during it, and what is still held at its end
}

// Around runs f and writes its profiles, whether it fails or not.
func (p Files) Around(f func() error) (err error) {
	if p.CPU != "" {
		out, err := os.Create(p.CPU)
		if err != nil {
			return fmt.Errorf("file for the CPU profile: %w", err)
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return fmt.Errorf("CPU profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	err = f()
	if p.Mem != "" {
		err = errors.Join(err, writeHeap(p.Mem))
	}
	return err
}

// writeHeap collects garbage first, so that what is told as held is held.
func writeHeap(path string) error {
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("file for the memory profile: %w", err)
	}
	defer out.Close()
	runtime.GC()
	if err := pprof.WriteHeapProfile(out); err != nil {
		return fmt.Errorf("memory profile: %w", err)
	}
	return out.Close()
}
