package datadir

import (
	"errors"
	"fmt"
)

// Sentinels of this package.
var (
	// ErrHeld is returned when another process holds the directory; see [HeldError].
	ErrHeld = errors.New("data directory is in use")
	// ErrNotWritable is returned when the directory cannot be created or written.
	ErrNotWritable = errors.New("data directory is not writable")
	// ErrDiskFull is returned when the file system has less room left than was asked for.
	ErrDiskFull = errors.New("disk full")
	// ErrNotRunning is returned when no platform runs on the directory.
	ErrNotRunning = errors.New("no platform is running here")
	// ErrPortInUse is returned when something else listens on a port; see [PortInUseError].
	ErrPortInUse = errors.New("port in use")
	// ErrDamaged is returned when a file the platform wrote itself cannot be read back.
	ErrDamaged = errors.New("damaged file")
)

// HeldError names the process that holds a data directory.
type HeldError struct {
	Dir string
	PID int // 0 when the holder has not written it yet
}

func (e *HeldError) Error() string {
	holder := "another process"
	if e.PID > 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("data directory %s is in use by %s: stop it, or choose another directory with --data-dir", e.Dir, holder)
}

// Is makes errors.Is(err, ErrHeld) true.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// PortInUseError names a port that something else listens on.
type PortInUseError struct {
	Purpose string // "nats", "http", …
	Addr    string // host:port
	Holder  string // "name (pid 123)", or empty when it cannot be known
	Hint    string // what to do next
}

func (e *PortInUseError) Error() string {
	holder := "another process"
	if e.Holder != "" {
		holder = e.Holder
	}
	msg := fmt.Sprintf("%s port %s is in use by %s", e.Purpose, e.Addr, holder)
	if e.Hint != "" {
		msg += ": " + e.Hint
	}
	return msg
}

// Is makes errors.Is(err, ErrPortInUse) true.
func (e *PortInUseError) Is(target error) bool { return target == ErrPortInUse }
