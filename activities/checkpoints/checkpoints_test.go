package checkpoints_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/activities/checkpoints"
	"stoker.dev/stoker/functions"
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
	if err := checkpoints.ClearOld(dir, contract.Keeping{Checkpoint: functions.Checkpoint{Keep: 2}}); err != nil {
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

// Whoever is killed while it removes a checkpoint leaves none behind that looks whole.
func TestWhatIsRemovedDoesNotCountAnyMore(t *testing.T) {
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	for _, name := range []string{filepath.Join(dir, "step-1"), elsewhere} {
		write(t, filepath.Join(name, "weights"))
		write(t, filepath.Join(name, contract.Marker))
	}
	write(t, filepath.Join(dir, "step-2", "weights"))
	write(t, filepath.Join(dir, "step-2", contract.Marker, "cannot be removed"))
	if err := os.Symlink(elsewhere, filepath.Join(dir, "step-3")); err != nil {
		t.Fatal(err)
	}
	if err := checkpoints.Clear(dir, []string{"step-1", "step-2", "step-3", "step-4"}); err == nil {
		t.Error("one cannot be removed, and nobody says so")
	}
	for path, want := range map[string]bool{"step-1": false, "step-2/weights": true, "step-3": false} {
		if _, err := os.Lstat(filepath.Join(dir, path)); (err == nil) != want {
			t.Errorf("%s: %v; want it there: %v", path, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(elsewhere, contract.Marker)); err != nil {
		t.Errorf("what a link leads to was touched: %v", err)
	}
}

func TestWhenACheckpointWasWritten(t *testing.T) {
	dir := t.TempDir()
	committed, begun := time.Unix(1000, 0), time.Unix(2000, 0)
	write(t, filepath.Join(dir, "step-1", ".metadata"))
	write(t, filepath.Join(dir, "step-2", "weights"))
	for path, at := range map[string]time.Time{"step-1/.metadata": committed, "step-1": begun, "step-2": begun, "step-2/weights": committed} {
		if err := os.Chtimes(filepath.Join(dir, path), at, at); err != nil {
			t.Fatal(err)
		}
	}
	list, err := checkpoints.List(dir)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, c := range list {
		if want := map[string]time.Time{"step-1": committed, "step-2": begun}[c.Name]; !c.At.Equal(want) {
			t.Errorf("%s was written at %v, want %v", c.Name, c.At, want)
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
