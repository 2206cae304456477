package contract

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"

	"stoker.dev/stoker/functions"
)

// ErrNoCheckpoint is returned where a job must resume and has nothing to resume from.
var ErrNoCheckpoint = errors.New("no committed checkpoint")

// Marker is the file that makes a checkpoint count. It is written last.
const Marker = "COMMITTED"

// markers are what a committed checkpoint has one of: ours, or what torch's distributed checkpoints
// write last.
var markers = []string{Marker, ".metadata"}

// checkpointName is step-N; with at most 18 digits N is an int64.
var checkpointName = regexp.MustCompile(`^step-([0-9]{1,18})$`)

// Checkpoint is one directory in $CHECKPOINT_DIR.
type Checkpoint struct {
	Name      string
	Step      int64
	Committed bool
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

// Surplus are the names of the checkpoints that may be removed, the oldest first: committed ones beyond
// the newest keep, and what was begun before the newest committed one and never finished. What is
// further than that may be being written and stays.
func Surplus(list []Checkpoint, keep int) []string {
	var out []string
	kept := 0
	for _, c := range byStep(list) {
		switch {
		case c.Committed && kept < max(1, keep):
			kept++
		case c.Committed || kept > 0:
			out = append(out, c.Name)
		}
	}
	slices.Reverse(out)
	return out
}
