// Package checkpoints reads and clears the directories that jobs keep their work in. Whoever sees such a
// directory may use it: the platform, where its jobs run on its own machine, and the agents of ranks,
// where it is a volume that only they have. Which checkpoints count says scale/job/contract.
//
// A directory is the program's, which may write anything into it at any time: what goes away between two
// looks is passed over, and no more than [maxListed] entries are read.
package checkpoints

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"stoker.dev/stoker/scale/job/contract"
)

// dirMode is that of directories that are made here: checkpoints may be worth as much as the data they
// were made from.
const dirMode = 0o700

// maxListed bounds the entries that are read of a checkpoint directory: a program that fills it with
// files does not hold up its own start.
const maxListed = 10_000

// Prepare makes a directory that is not there, and tells whether it can be written to.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".stoker-*")
	if err != nil {
		return fmt.Errorf("cannot be written to: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// List are the checkpoints in a directory, in no order.
func List(dir string) ([]contract.Checkpoint, error) {
	names, err := list(dir)
	if err != nil {
		return nil, err
	}
	var out []contract.Checkpoint
	for _, name := range names {
		if _, is := contract.ReadCheckpoint(name, nil); !is {
			continue
		}
		files, err := list(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) || err != nil && isFile(filepath.Join(dir, name)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		cp, _ := contract.ReadCheckpoint(name, files)
		cp.At = writtenAt(filepath.Join(dir, name))
		out = append(out, cp)
	}
	return out, nil
}

// writtenAt is when a checkpoint was committed, or when the last file was begun in one that is not; zero for one
// that has just gone away.
func writtenAt(path string) (at time.Time) {
	for _, marker := range contract.Markers() {
		if info, err := os.Stat(filepath.Join(path, marker)); err == nil && info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	if info, err := os.Stat(path); err == nil && at.IsZero() {
		at = info.ModTime()
	}
	return at
}

func list(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxListed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && !info.IsDir()
}

// Clear removes checkpoints by their names.
func Clear(dir string, names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, remove(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// remove removes a checkpoint. First of all it is one no more: nobody begins with what was removed half. Of a
// link only the link goes.
func remove(path string) error {
	if !isFile(path) {
		for _, marker := range contract.Markers() {
			if err := os.Remove(filepath.Join(path, marker)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return os.RemoveAll(path)
}

// ClearOld removes what is beyond what is to be kept, and what was begun and never finished.
func ClearOld(dir string, k contract.Keeping) error {
	there, err := List(dir)
	if err != nil {
		return err
	}
	return Clear(dir, k.Surplus(there))
}
