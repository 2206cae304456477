package dispatch

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/checkpoints"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

var _ activities.Checkpoints = (*Checkpoints)(nil)

// Checkpoints keeps the checkpoint directories of jobs that name none of their own, and reads those
// of all. They are on a file system that the platform sees as its jobs do, or away.
type Checkpoints struct {
	Root string // of the directories the platform keeps, one for each job; as the ranks see it
	// Remote: they are on a volume that only the ranks see. Their agents make, read and clear them, and
	// what a removed job has left there stays.
	Remote bool
}

// Away implements [activities.Checkpoints].
func (c *Checkpoints) Away() bool { return c.Remote }

// own is where the work of a job is kept that names no place.
func (c *Checkpoints) own(rec events.JobRecord) string {
	k := rec.Job.Key()
	return filepath.Join(c.Root, k.Namespace, k.Name+"-"+rec.UID, "checkpoints")
}

// named is the directory that a manifest names by its URI.
func named(uri string) string { return filepath.Clean(strings.TrimPrefix(uri, "file://")) }

// Dir implements [activities.Checkpoints].
func (c *Checkpoints) Dir(rec events.JobRecord) (string, error) {
	dir := c.own(rec)
	if uri := rec.Job.Spec.Checkpoint.URI; uri != "" {
		dir = named(uri)
	}
	if c.Remote {
		return dir, nil
	}
	return dir, checkpoints.Prepare(dir)
}

// List implements [activities.Checkpoints].
func (c *Checkpoints) List(dir string) ([]contract.Checkpoint, error) {
	if c.Remote {
		return nil, nil
	}
	return checkpoints.List(dir)
}

// Clear implements [activities.Checkpoints].
func (c *Checkpoints) Clear(dir string, names []string) error {
	if c.Remote {
		return nil
	}
	return checkpoints.Clear(dir, names)
}

// Erase removes what is kept of a job here. A directory that its manifest names is the user's, and stays.
func (c *Checkpoints) Erase(rec events.JobRecord) error {
	if c.Remote {
		return nil
	}
	return os.RemoveAll(filepath.Dir(c.own(rec)))
}

// clear removes old checkpoints of a job that has just committed a new one, now and then. Once its gang
// has gone, its workflow does it.
func (d *Dispatcher) clear(e *entry, before job.State) {
	now := d.Now()
	if e.Life.Saved == before.Saved || now.Sub(e.cleared) < clearEvery || d.Checkpoints.Remote {
		return
	}
	e.cleared = now
	rec := e.rec
	keeping := contract.Keeping{Checkpoint: rec.Job.Spec.Checkpoint, Submitted: rec.Submitted, Saved: e.Life.Saved, AtWork: true}
	d.box.Outside(func(context.Context) {
		dir, err := d.Checkpoints.Dir(rec)
		if err != nil {
			return // a full or missing disk is the job's to tell of
		}
		if err := checkpoints.ClearOld(dir, keeping); err != nil {
			d.Log.Warn("old checkpoints not cleared", "job", rec.Job.Key().String(), "error", err)
		}
	})
}
