package checkpoints_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"stoker.dev/stoker/activities/checkpoints"
	"stoker.dev/stoker/scale/job/contract"
)

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(list []contract.Checkpoint) []string {
	var out []string
	for _, c := range list {
		if c.Committed {
			out = append(out, c.Name)
		}
	}
	slices.Sort(out)
	return out
}

// TestOldCheckpointsGoAndTheNewestStay fills a directory as a program does, with what is none beside it.
func TestOldCheckpointsGoAndTheNewestStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	for range 2 { // a second gang finds it
		if err := checkpoints.Prepare(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"step-1", "step-2", "step-4"} {
		write(t, filepath.Join(dir, name, contract.Marker))
	}
	write(t, filepath.Join(dir, "step-3", "weights"))
	write(t, filepath.Join(dir, "step-5", "weights"))
	write(t, filepath.Join(dir, "step-6")) // a file
	write(t, filepath.Join(dir, "notes.txt"))
	if err := checkpoints.ClearOld(dir, 2); err != nil {
		t.Fatal(err)
	}
	list, err := checkpoints.List(dir)
	if err != nil || !slices.Equal(names(list), []string{"step-2", "step-4"}) || len(list) != 3 {
		t.Errorf("left are %+v, %v; want step-2, step-4, and step-5, which may be being written", list, err)
	}
	for _, kept := range []string{"step-6", "notes.txt"} {
		if _, err := os.Stat(filepath.Join(dir, kept)); err != nil {
			t.Errorf("what is no checkpoint is gone: %v", err)
		}
	}
}

func TestADirectoryThatCannotBeOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file)
	if err := checkpoints.Prepare(file); err == nil {
		t.Error("a file is taken for a directory")
	}
	if _, err := checkpoints.List(filepath.Join(file, "below")); err == nil {
		t.Error("what is not there is listed")
	}
}
