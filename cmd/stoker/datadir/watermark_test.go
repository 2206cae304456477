package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWatermarkDoesNotFlap(t *testing.T) {
	w := Watermark{Least: 100}
	for i, step := range []struct {
		free uint64
		low  bool
	}{
		{1000, false}, {100, false}, {99, true}, {100, true}, {124, true}, {125, false}, {100, false}, {0, true}, {125, false},
	} {
		if got := w.Low(step.free); got != step.low {
			t.Errorf("step %d, %d free: low %v, want %v", i, step.free, got, step.low)
		}
	}
}

func TestOpenAboveAsksForAsMuchAsItIsTold(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("stoker-test", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("SKIP-COUNTED watermark: cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	d, err := OpenAbove(dir, 1<<20)
	if err != nil {
		t.Fatalf("4 MiB are enough where 1 MiB is asked for: %v", err)
	}
	if err := d.Writable(); err != nil {
		t.Error(err)
	}
	_ = d.Close()
}

// TestWhatWasAcceptedIsOpenedWithLessRoom: a platform that is killed while its disk is low comes
// back to finish what it has.
func TestWhatWasAcceptedIsOpenedWithLessRoom(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("stoker-test", dir, "tmpfs", 0, "size=80m"); err != nil {
		t.Skipf("SKIP-COUNTED watermark: cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if _, err := Open(dir); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("got %v, want a new directory to be refused", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "nats", "jetstream"), dirMode); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrDiskFull) {
		t.Errorf("got %v, want less than %d bytes to be refused", err, minResume)
	}
}
