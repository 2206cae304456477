package harness

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a file system of the test's own, small enough to be filled or broken.
type Disk struct {
	Path string // where it is mounted

	t      testing.TB
	filler string // a file that takes room
}

// NewDisk mounts a file system of so many MiB in memory. It skips the test, with the reason, where mounting is not
// permitted.
func NewDisk(t testing.TB, mib int) *Disk {
	t.Helper()
	d := &Disk{Path: t.TempDir(), t: t}
	d.filler = filepath.Join(d.Path, "filler")
	if err := unix.Mount("stoker-e2e", d.Path, "tmpfs", 0, "size="+strconv.Itoa(mib)+"m"); err != nil {
		t.Skipf("SKIP-COUNTED small disk: cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(d.Path, unix.MNT_DETACH) })
	return d
}

// Free is what is left, in bytes.
func (d *Disk) Free() uint64 {
	d.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(d.Path, &st); err != nil {
		d.t.Fatal(err)
	}
	return st.Bavail * uint64(st.Bsize)
}

// Leave fills the disk until so many bytes are free, 0 being none at all.
func (d *Disk) Leave(free uint64) {
	d.t.Helper()
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for d.Free() > free {
		n := min(d.Free()-free, 1<<20)
		if _, err := f.Write(make([]byte, n)); errors.Is(err, unix.ENOSPC) {
			return // others took the rest
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

// MakeRoom takes away what [Disk.Leave] wrote.
func (d *Disk) MakeRoom() {
	d.t.Helper()
	if err := os.Remove(d.filler); err != nil {
		d.t.Fatal(err)
	}
}

// Image is a file system of the test's own on a block device: one that the kernel can find broken.
type Image struct {
	Path string

	t    testing.TB
	file string
}

// NewImage makes and mounts an ext4 file system of so many MiB. It skips the test, with the reason, where that
// cannot be done.
func NewImage(t testing.TB, mib int) *Image {
	t.Helper()
	m := &Image{Path: t.TempDir(), t: t, file: filepath.Join(t.TempDir(), "ext4.img")}
	if err := os.WriteFile(m.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(m.file, int64(mib)<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", m.file).CombinedOutput(); err != nil {
		t.Skipf("SKIP-COUNTED broken disk: no ext4 can be made here: %v: %s", err, out)
	}
	if err := m.mount(); err != nil {
		t.Skipf("SKIP-COUNTED broken disk: cannot mount an image here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(m.Path, unix.MNT_DETACH) })
	return m
}

func (m *Image) mount() error {
	out, err := exec.CommandContext(m.t.Context(), "mount", "-o", "loop,errors=remount-ro", m.file, m.Path).CombinedOutput()
	if err != nil {
		return errors.New(strings.TrimSpace(string(out)))
	}
	return nil
}

// Sync writes everything to the device.
func (m *Image) Sync() {
	m.t.Helper()
	f, err := os.Open(m.Path)
	if err == nil {
		err = errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// Break has the kernel find an error: from here on the file system is read-only.
func (m *Image) Break() {
	m.t.Helper()
	out, err := exec.CommandContext(m.t.Context(), "losetup", "-n", "-O", "NAME", "-j", m.file).Output()
	if err != nil {
		m.t.Fatal(err)
	}
	device := filepath.Base(strings.TrimSpace(string(out)))
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", device, "trigger_fs_error"), []byte("1"), 0o600); err != nil {
		m.t.Skipf("SKIP-COUNTED broken disk: the kernel offers no error to trigger: %v", err)
	}
}

// Repair unmounts, checks and mounts the file system again, as an operator does.
func (m *Image) Repair() {
	m.t.Helper()
	Eventually(m.t, m.Path+" unmounted", func() (bool, any) {
		err := unix.Unmount(m.Path, 0)
		return err == nil, err
	})
	// Exit code 1 says that errors were corrected.
	out, err := exec.CommandContext(m.t.Context(), "fsck.ext4", "-fy", m.file).CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) {
		m.t.Fatalf("fsck: %v\n%s", err, out)
	}
	if err := m.mount(); err != nil {
		m.t.Fatal(err)
	}
}
