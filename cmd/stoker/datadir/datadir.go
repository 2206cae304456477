package datadir

import (
	"fmt"
	"os"
	"path/filepath"
)

// Modes of what the platform writes: requests, results and keys are nobody else's business.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// Dir is an open data directory, held until [Dir.Close].
type Dir struct {
	path  string
	least uint64 // bytes that must be free
	lock  *os.File
}

// Default is where data goes when nobody says otherwise: $XDG_DATA_HOME/stoker or
// ~/.local/share/stoker.
func Default() (string, error) {
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "stoker"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no data directory: neither XDG_DATA_HOME nor HOME is set; use --data-dir: %w", err)
	}
	return filepath.Join(home, ".local", "share", "stoker"), nil
}

// Open is [OpenAbove] with [MinFree].
func Open(path string) (*Dir, error) { return OpenAbove(path, MinFree) }

// OpenAbove creates the directory where it is missing, takes its lock and checks that it can be
// written and has at least so many bytes of room, or, where there are streams with requests that
// were accepted, enough to finish those. Errors: [ErrHeld], [ErrNotWritable],
// [ErrDiskFull].
func OpenAbove(path string, least uint64) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, notWritable(path, err)
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, notWritable(path, err)
	}
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, least: least, lock: lock}
	if err := d.prepare(); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) prepare() error {
	if err := d.Writable(); err != nil {
		return err
	}
	if err := d.enoughRoom(); err != nil {
		return err
	}
	for _, sub := range []string{d.keysDir(), d.NATS(), d.Replicas(), d.Bin()} {
		if err := os.MkdirAll(sub, dirMode); err != nil {
			return notWritable(sub, err)
		}
	}
	return nil
}

// Close removes server.json and gives the lock back. The directory stays.
func (d *Dir) Close() error {
	d.RemoveServer()
	return d.lock.Close()
}

// Path is the directory itself, absolute.
func (d *Dir) Path() string { return d.path }

// NATS is where JetStream stores its streams.
func (d *Dir) NATS() string { return d.join("nats") }

// TemporalDB is Temporal's SQLite file.
func (d *Dir) TemporalDB() string { return d.join("temporal.db") }

// Replicas is where each local replica has its own directory.
func (d *Dir) Replicas() string { return d.join("replicas") }

// Jobs is where training jobs have their own directories: of their checkpoints, unless they name another.
func (d *Dir) Jobs() string { return d.join("jobs") }

// Bin is where helper binaries are kept once built.
func (d *Dir) Bin() string { return d.join("bin") }

// Users is the file of who may use the platform, unless another one is set.
func (d *Dir) Users() string { return UsersOf(d.path) }

// UsersOf is the users file of the directory at path, which need not be open.
func UsersOf(path string) string { return filepath.Join(path, "users.yaml") }

func (d *Dir) keysDir() string { return d.join("keys") }

func (d *Dir) join(name string) string { return filepath.Join(d.path, name) }

func notWritable(path string, err error) error {
	return fmt.Errorf("%w: %s: %w; choose another directory with --data-dir or STOKER_DATA_DIR", ErrNotWritable, path, err)
}
