package contract

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// ErrNoCheckpoint is returned where a job must resume and has nothing to resume from.
var ErrNoCheckpoint = errors.New("no committed checkpoint")

// Marker is the file that makes a checkpoint count. It is written last.
const Marker = "COMMITTED"

// markers are what a committed checkpoint has one of: ours, or what torch's distributed checkpoints
// write last.
var markers = []string{Marker, ".metadata"}

// Markers lists them. The caller owns the slice.
func Markers() []string { return slices.Clone(markers) }

// checkpointName is step-N; with at most 18 digits N is an int64.
var checkpointName = regexp.MustCompile(`^step-([0-9]{1,18})$`)

// Checkpoint is one directory in $CHECKPOINT_DIR.
type Checkpoint struct {
	Name      string
	Step      int64
	Committed bool
	At        time.Time // it was committed, or something was begun in it, by the clock of its file system
}

// ReadCheckpoint is the checkpoint of a directory's name and the names of the files in it; false if
// the directory is none.
func ReadCheckpoint(name string, files []string) (Checkpoint, bool) {
	m := checkpointName.FindStringSubmatch(name)
	if m == nil {
		return Checkpoint{}, false
	}
	step, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return Checkpoint{}, false
	}
	committed := slices.ContainsFunc(markers, func(marker string) bool { return slices.Contains(files, marker) })
	return Checkpoint{Name: name, Step: step, Committed: committed}, true
}

// byStep is the checkpoints, the furthest first; of two names for one step the one in order.
func byStep(list []Checkpoint) []Checkpoint {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Checkpoint) int { return cmp.Or(cmp.Compare(b.Step, a.Step), cmp.Compare(a.Name, b.Name)) })
	return list
}

// Newest is the committed checkpoint that is furthest; false if there is none.
func Newest(list []Checkpoint) (Checkpoint, bool) {
	for _, c := range byStep(list) {
		if c.Committed {
			return c, true
		}
	}
	return Checkpoint{}, false
}

// Resume is $RESUME_FROM: the path of the newest committed checkpoint in a directory, or nothing if
// there is none or if the job is to start over. Where one has to be there the error matches
// ErrNoCheckpoint.
func Resume(how functions.Resume, dir string, list []Checkpoint) (string, error) {
	newest, found := Newest(list)
	switch {
	case how == functions.ResumeNever:
		return "", nil
	case found:
		return path.Join(dir, newest.Name), nil
	case how == functions.ResumeMust:
		return "", fmt.Errorf("%w in %s: %d directories there, none with %s in it", ErrNoCheckpoint, dir, len(list), Marker)
	default:
		return "", nil
	}
}

// Keeping is by what it is told which checkpoints of a job may go.
type Keeping struct {
	functions.Checkpoint
	Submitted time.Time // the job
	Saved     job.Saved // the newest that was reported
	AtWork    bool      // a gang may be writing others
}

// Surplus are the names of the checkpoints that may be removed, those that are worth least first: committed
// ones beyond the newest keep, and what was begun before a committed one and never finished. What was reported
// as the newest stays in any case.
//
// The newest are those furthest on, of which the next attempt begins with the first; where every attempt begins
// from nothing they are those committed last, since an earlier attempt may have got further.
func (k Keeping) Surplus(list []Checkpoint) []string {
	list = slices.DeleteFunc(k.order(list), func(c Checkpoint) bool { return k.ahead(c) || k.foreign(c) })
	newest, _ := Newest(list)
	var out []string
	kept := 0
	for _, c := range list {
		switch {
		case c.Committed && kept < max(1, k.Keep):
			kept++
		case c.Name == path.Base(k.Saved.Path):
		case c.Committed || c.Step < newest.Step:
			out = append(out, c.Name)
		}
	}
	slices.Reverse(out)
	return out
}

// order is the checkpoints, the newest first.
func (k Keeping) order(list []Checkpoint) []Checkpoint {
	list = byStep(list)
	if k.Resume == functions.ResumeNever {
		slices.SortStableFunc(list, func(a, b Checkpoint) int { return b.At.Compare(a.At) })
	}
	return list
}

// ahead tells whether a checkpoint is further on than the newest that was reported. A gang that is at work may
// be writing it, also over what an attempt before has left there. Without one it may be of another run, which
// the program did not go on from; of attempts that begin from nothing it is of one that is over.
func (k Keeping) ahead(c Checkpoint) bool {
	if k.AtWork || k.Saved.Path != "" && k.Resume != functions.ResumeNever {
		return c.Step > k.Saved.Step
	}
	return false
}

// foreign tells whether a checkpoint was there before the job, in a directory that its manifest names, and the
// job has nothing to do with it. One that resumes takes over what it finds.
func (k Keeping) foreign(c Checkpoint) bool {
	return k.Resume == functions.ResumeNever && k.URI != "" && c.At.Before(k.Submitted)
}
