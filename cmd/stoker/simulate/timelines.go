package simulate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"stoker.dev/stoker/scale/simulate"
)

// Timelines are the files of a run: the one named for the first policy, for each other one
// beside it with the policy's name before the extension.
type Timelines struct {
	paths map[string]string
	files []*os.File
	lines []*Timeline
	err   error
}

// NewTimelines names them; an empty path: none. The bound has none, since it is no schedule.
func NewTimelines(path string, policies []string) *Timelines {
	t := &Timelines{paths: map[string]string{}}
	if path == "" {
		return t
	}
	ext := filepath.Ext(path)
	for i, p := range policies {
		t.paths[p] = path
		if i > 0 {
			t.paths[p] = strings.TrimSuffix(path, ext) + "." + p + ext
		}
	}
	return t
}

// Of opens the file of a policy. What goes wrong is told by Close.
func (t *Timelines) Of(policy string) func(simulate.Row) {
	path := t.paths[policy]
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		t.err = errors.Join(t.err, err)
		return nil
	}
	line := NewTimeline(f)
	t.files, t.lines = append(t.files, f), append(t.lines, line)
	return line.Row
}

// Close writes what is left, and gives every error.
func (t *Timelines) Close() error {
	err := t.err
	for i, l := range t.lines {
		err = errors.Join(err, l.Flush(), t.files[i].Close())
	}
	return err
}
