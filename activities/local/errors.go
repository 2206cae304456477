package local

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Sentinels of this package.
var (
	// ErrDiskFull is returned when a replica's files cannot be written for want of space.
	ErrDiskFull = errors.New("disk full")
	// ErrNotWritable is returned when the replicas' directory cannot be written.
	ErrNotWritable = errors.New("directory is not writable")
	// ErrClosed is returned by a provider that was closed.
	ErrClosed = errors.New("the local provider is closed")
)

// explain says what to do about a failed write.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: write %s: free some space, or choose another data directory: %w", ErrDiskFull, path, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: write %s: give its owner write permission, or choose another data directory: %w", ErrNotWritable, path, err)
	default:
		return fmt.Errorf("write %s: %w", path, err)
	}
}
