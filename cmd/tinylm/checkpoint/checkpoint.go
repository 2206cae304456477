// Package checkpoint keeps committed checkpoints in a directory.
//
// A checkpoint is a directory named step-<12 digits> with whatever files the
// trainer writes, and a file COMMITTED that lists every one of them with its
// size and SHA-256. The files are written to a temporary directory, made
// durable, and renamed into place; COMMITTED is written last, durably and
// atomically. So a directory without COMMITTED is a write that was cut short,
// and is never read, whatever it holds:
//
//	out/
//	  step-000000000500/ COMMITTED meta.json …   may be resumed from
//	  step-000000001000/ meta.json …             cut short: ignored
//	  tmp-1234567/                               cut short: ignored
//
// One process writes to a root at a time; any number may read.
package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

var (
	// ErrNone is returned when a directory holds no committed checkpoint.
	ErrNone = errors.New("no committed checkpoint")
	// ErrNotCommitted is returned when a checkpoint has no commit marker.
	ErrNotCommitted = errors.New("checkpoint is not committed")
	// ErrDamaged is returned when a committed checkpoint's files are not what its marker lists.
	ErrDamaged = errors.New("checkpoint is damaged")
)

const (
	marker     = "COMMITTED"
	stepPrefix = "step-"
	tmpPrefix  = "tmp-"
	dirMode    = 0o755
	fileMode   = 0o644
)

// Checkpoint is one committed checkpoint.
type Checkpoint struct {
	Dir  string // its directory
	Step int    // training steps that it holds
}

// Write makes one committed checkpoint of the given step below root. fill
// writes the files into the directory it is given. When Write returns without an
// error the checkpoint survives a power cut; when it returns one, no committed
// checkpoint of that step was added. A committed checkpoint of the same step is
// kept as it is and returned, so that a repeated write does nothing.
func Write(root string, step int, fill func(dir string) error) (Checkpoint, error) {
	c := Checkpoint{Dir: filepath.Join(root, fmt.Sprintf("%s%012d", stepPrefix, step)), Step: step}
	if _, err := readMarker(c.Dir); err == nil {
		return c, nil
	}
	if err := os.MkdirAll(root, dirMode); err != nil {
		return Checkpoint{}, fmt.Errorf("make checkpoint directory: %w", err)
	}
	tmp, err := os.MkdirTemp(root, tmpPrefix)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("make temporary checkpoint directory: %w", err)
	}
	defer os.RemoveAll(tmp) // gone already when the rename succeeded
	if err := fill(tmp); err != nil {
		return Checkpoint{}, fmt.Errorf("write checkpoint of step %d: %w", step, err)
	}
	if err := publish(tmp, c); err != nil {
		return Checkpoint{}, fmt.Errorf("commit checkpoint %s: %w", c.Dir, err)
	}
	return c, nil
}

// publish makes tmp durable, renames it to c.Dir and commits it.
func publish(tmp string, c Checkpoint) error {
	files, err := syncFiles(tmp)
	if err != nil {
		return err
	}
	// A directory of that name here has no marker (Write looked), so it was cut short.
	if err := os.RemoveAll(c.Dir); err != nil {
		return err
	}
	if err := os.Rename(tmp, c.Dir); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(c.Dir)); err != nil {
		return err
	}
	return writeMarker(c, files)
}

// Open returns the committed checkpoint that dir names: dir itself when it is a
// checkpoint, otherwise the newest committed one inside it whose files are what
// its marker lists. Damage is an error only when nothing whole is left: losing
// some steps is better than never starting again.
func Open(dir string) (Checkpoint, error) {
	if step, ok := parseStep(filepath.Base(filepath.Clean(dir))); ok {
		c := Checkpoint{Dir: filepath.Clean(dir), Step: step}
		return c, verify(c)
	}
	if m, err := readMarker(dir); err == nil { // a checkpoint that was copied to another name
		c := Checkpoint{Dir: filepath.Clean(dir), Step: m.Step}
		return c, verify(c)
	}
	all, err := List(dir)
	if err != nil {
		return Checkpoint{}, err
	}
	if len(all) == 0 {
		return Checkpoint{}, fmt.Errorf("%s: %w", dir, ErrNone)
	}
	var damaged error
	for _, c := range slices.Backward(all) {
		err := verify(c)
		if err == nil {
			return c, nil
		}
		damaged = errors.Join(damaged, err)
	}
	return Checkpoint{}, damaged
}

// List returns the committed checkpoints below root, oldest step first. Cut-short
// ones are left out. A root that does not exist has none.
func List(root string) ([]Checkpoint, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var out []Checkpoint
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		step, ok := parseStep(e.Name())
		if m, err := readMarker(dir); ok && err == nil && m.Step == step {
			out = append(out, Checkpoint{Dir: dir, Step: step})
		}
	}
	slices.SortFunc(out, func(a, b Checkpoint) int { return a.Step - b.Step })
	return out, nil
}

// Prune removes all but the newest keep committed checkpoints below root, and
// what earlier writers left behind. keep below 1 counts as 1.
func Prune(root string, keep int) error {
	all, err := List(root)
	if err != nil {
		return err
	}
	for _, c := range all[:max(0, len(all)-max(1, keep))] {
		// The marker goes first: a half-removed checkpoint must not look committed.
		if err := os.Remove(filepath.Join(c.Dir, marker)); err != nil {
			return fmt.Errorf("prune checkpoint: %w", err)
		}
		if err := os.RemoveAll(c.Dir); err != nil {
			return fmt.Errorf("prune checkpoint: %w", err)
		}
	}
	return removeLeftovers(root)
}

func removeLeftovers(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("remove cut-short checkpoints: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tmpPrefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
			return fmt.Errorf("remove cut-short checkpoint: %w", err)
		}
	}
	return nil
}

func parseStep(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, stepPrefix)
	if !ok {
		return 0, false
	}
	step, err := strconv.Atoi(digits)
	return step, err == nil && step >= 0
}
