package datadir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// MinFree is the room, in bytes, below which a new platform refuses to start and one that runs takes
// no new work unless it is told otherwise: JetStream and SQLite each take write-ahead space in blocks of up
// to tens of MiB, and running into a full disk in mid-request is worse than not starting.
const MinFree = 256 << 20

// minResume is the room, in bytes, below which a directory that has streams is not opened either.
// Above it a platform starts on what it had accepted, to finish it, and takes nothing new until
// there is more room: what is left is for a few of those blocks.
const minResume = 64 << 20

// probeSize is one page more than a file system would keep inside an inode.
const probeSize = 8 << 10

// Writable writes and syncs a small file, because permissions, quotas and read-only mounts show
// only then. Errors: [ErrNotWritable], [ErrDiskFull].
func (d *Dir) Writable() error {
	f, err := os.CreateTemp(d.path, ".probe-*")
	if err != nil {
		return d.explain(err)
	}
	defer os.Remove(f.Name())
	_, werr := f.Write(make([]byte, probeSize))
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return d.explain(err)
	}
	return nil
}

func (d *Dir) explain(err error) error { return explain(d.path, d.least, err) }

func (d *Dir) enoughRoom() error {
	free, err := Free(d.path)
	if err != nil {
		return err
	}
	least := d.least
	if _, err := os.Stat(filepath.Join(d.NATS(), "jetstream")); err == nil {
		least = min(least, minResume)
	}
	if free < least {
		return diskFull(d.path, free, least)
	}
	return nil
}

// Free is the room, in bytes, that an unprivileged process has left on dir's file system.
func Free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// explain turns what the kernel says into the one line a user can act on.
func explain(path string, least uint64, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		free, _ := Free(path)
		return diskFull(path, free, least)
	}
	return notWritable(path, err)
}

func diskFull(path string, free, least uint64) error {
	const mib = 1 << 20
	return fmt.Errorf("%w: %d MiB free at %s, at least %d MiB needed; free some, or choose another directory with --data-dir",
		ErrDiskFull, free/mib, path, least/mib)
}
