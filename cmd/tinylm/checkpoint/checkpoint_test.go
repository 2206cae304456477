package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"stoker.dev/stoker/cmd/tinylm/checkpoint"
)

func fill(content string) func(string) error {
	return func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "weights.bin"), []byte(content), 0o600)
	}
}

func write(t *testing.T, root string, step int) checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Write(root, step, fill("weights"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOpenTakesTheNewestCommitted(t *testing.T) {
	root := t.TempDir()
	write(t, root, 9)
	newest := write(t, root, 100)
	for _, dir := range []string{root, newest.Dir, newest.Dir + "/"} {
		if got, err := checkpoint.Open(dir); err != nil || got != newest {
			t.Errorf("Open(%s) = %+v, %v; want %+v", dir, got, err, newest)
		}
	}
}

func TestACutShortCheckpointIsNeverRead(t *testing.T) {
	root := t.TempDir()
	good := write(t, root, 10)
	cut := write(t, root, 20)
	if err := os.Remove(filepath.Join(cut.Dir, "COMMITTED")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "tmp-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := checkpoint.Open(root); err != nil || got != good {
		t.Errorf("Open = %+v, %v; want the committed %+v", got, err, good)
	}
	if _, err := checkpoint.Open(cut.Dir); !errors.Is(err, checkpoint.ErrNotCommitted) {
		t.Errorf("Open(cut) = %v, want ErrNotCommitted", err)
	}
	if got := write(t, root, 20); got != cut {
		t.Errorf("writing over a cut-short checkpoint gave %+v", got)
	}
}

func TestDamageIsFound(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"changed":   func(p string) error { return os.WriteFile(p, []byte("wEights"), 0o600) },
		"truncated": func(p string) error { return os.Truncate(p, 3) },
		"missing":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			c := write(t, t.TempDir(), 1)
			if err := damage(filepath.Join(c.Dir, "weights.bin")); err != nil {
				t.Fatal(err)
			}
			if _, err := checkpoint.Open(c.Dir); !errors.Is(err, checkpoint.ErrDamaged) {
				t.Errorf("Open = %v, want ErrDamaged", err)
			}
		})
	}
}

func TestDamageFallsBackToAnOlderOne(t *testing.T) {
	root := t.TempDir()
	older, newer := write(t, root, 1), write(t, root, 2)
	if err := os.Truncate(filepath.Join(newer.Dir, "weights.bin"), 1); err != nil {
		t.Fatal(err)
	}
	if got, err := checkpoint.Open(root); err != nil || got != older {
		t.Errorf("Open = %+v, %v; want the whole %+v", got, err, older)
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	root := t.TempDir()
	boom := errors.New("disk full")
	_, err := checkpoint.Write(root, 3, func(dir string) error {
		return errors.Join(fill("half")(dir), boom)
	})
	if !errors.Is(err, boom) {
		t.Fatalf("Write = %v, want the cause", err)
	}
	if left, _ := os.ReadDir(root); len(left) != 0 {
		t.Errorf("%d entries left behind: %v", len(left), left)
	}
	if _, err := checkpoint.Open(root); !errors.Is(err, checkpoint.ErrNone) {
		t.Errorf("Open = %v, want ErrNone", err)
	}
}

func TestASecondWriteOfAStepDoesNothing(t *testing.T) {
	root := t.TempDir()
	write(t, root, 5)
	c, err := checkpoint.Write(root, 5, func(string) error { return errors.New("must not be called") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Open(c.Dir); err != nil {
		t.Error(err)
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	root := t.TempDir()
	for step := range 5 {
		write(t, root, step)
	}
	if err := os.Mkdir(filepath.Join(root, "tmp-left"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.Prune(root, 2); err != nil {
		t.Fatal(err)
	}
	all, err := checkpoint.List(root)
	if err != nil || len(all) != 2 || all[0].Step != 3 || all[1].Step != 4 {
		t.Errorf("after Prune: %+v, %v; want steps 3 and 4", all, err)
	}
	if entries, _ := os.ReadDir(root); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestListOfNothing(t *testing.T) {
	all, err := checkpoint.List(filepath.Join(t.TempDir(), "none"))
	if err != nil || len(all) != 0 {
		t.Errorf("List = %v, %v; want none", all, err)
	}
}
