package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

var _ activities.Checkpoints = (*Checkpoints)(nil)

// Modes of what is made here: checkpoints may be worth as much as the data they were made from.
const dirMode = 0o700

// Checkpoints keeps the checkpoint directories of jobs that name none of their own, and reads those
// of all. They are on a file system that the platform sees as its jobs do.
type Checkpoints struct {
	Root string // of the directories the platform keeps, one for each job
}

// own is where the work of a job is kept that names no place.
func (c *Checkpoints) own(rec events.JobRecord) string {
	k := rec.Job.Key()
	return filepath.Join(c.Root, k.Namespace, k.Name+"-"+rec.UID, "checkpoints")
}

// Dir implements [activities.Checkpoints].
func (c *Checkpoints) Dir(rec events.JobRecord) (string, error) {
	dir := c.own(rec)
	if uri := rec.Job.Spec.Checkpoint.URI; uri != "" {
		dir = filepath.Clean(strings.TrimPrefix(uri, "file://"))
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return "", err
	}
	probe, err := os.CreateTemp(dir, ".stoker-*")
	if err != nil {
		return "", fmt.Errorf("cannot be written to: %w", err)
	}
	return dir, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// maxListed bounds the entries that are read of a checkpoint directory: a program that fills it with
// files does not hold up its own start.
const maxListed = 10_000

// List implements [activities.Checkpoints].
func (c *Checkpoints) List(dir string) ([]contract.Checkpoint, error) {
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
		if cp, is := contract.ReadCheckpoint(name, files); is {
			out = append(out, cp)
		}
	}
	return out, nil
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

// Clear implements [activities.Checkpoints].
func (c *Checkpoints) Clear(dir string, names []string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// Erase removes what is kept of a job here. A directory that its manifest names is the user's, and stays.
func (c *Checkpoints) Erase(rec events.JobRecord) error {
	return os.RemoveAll(filepath.Dir(c.own(rec)))
}

// clear removes old checkpoints of a job that has just committed a new one, now and then. Once its gang
// has gone, its workflow does it.
func (d *Dispatcher) clear(e *entry, before job.State) {
	now := d.Now()
	if e.Life.Saved == before.Saved || now.Sub(e.cleared) < clearEvery {
		return
	}
	e.cleared = now
	rec := e.rec
	d.box.Outside(func(context.Context) {
		dir, err := d.Checkpoints.Dir(rec)
		if err != nil {
			return // a full or missing disk is the job's to tell of
		}
		list, err := d.Checkpoints.List(dir)
		if err == nil {
			err = d.Checkpoints.Clear(dir, contract.Surplus(list, rec.Job.Spec.Checkpoint.Keep))
		}
		if err != nil {
			d.Log.Warn("old checkpoints not cleared", "job", rec.Job.Key().String(), "error", err)
		}
	})
}
