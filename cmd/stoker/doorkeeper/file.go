package doorkeeper

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/datadir"
)

const (
	// maxFile bounds a users file, in bytes; that of the most users allowed is smaller.
	maxFile = 4 << 20
	// fileMode: who may do what is nobody else's business.
	fileMode = 0o600
)

// stamp tells one state of a file from another. The zero value is that of a missing file.
type stamp struct {
	inode    uint64
	size     int64
	modified time.Time
}

func stat(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// read is the file's content and the state that it was in before it was read.
func read(path string) (access.Users, stamp, error) {
	at := stat(path)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return access.Users{}, stamp{}, nil
	}
	if err != nil {
		return access.Users{}, at, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return access.Users{}, at, err
	}
	if len(data) > maxFile {
		return access.Users{}, at, fmt.Errorf("%w: larger than %d bytes", access.ErrUsers, maxFile)
	}
	u, err := access.ParseUsers(data)
	return u, at, err
}

// Edit changes the users file as one step that no other edit gets between. change gets what is
// there and returns what shall be. A running platform takes it over within a second.
func Edit(path string, change func(access.Users) (access.Users, error)) error {
	unlock, err := lock(path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	before, _, err := read(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	after, err := change(before)
	if err != nil {
		return err
	}
	data, err := after.Format()
	if err != nil {
		return err
	}
	return datadir.Replace(path, data)
}

// Read is what the file holds now.
func Read(path string) (access.Users, error) {
	u, _, err := read(path)
	if err != nil {
		return u, fmt.Errorf("%s: %w", path, err)
	}
	return u, nil
}

func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
