package datadir

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const holdEnv = "STOKER_TEST_HOLD_DIR"

// TestMain lets the test binary be the other process of the lock tests.
func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		d, err := Open(dir)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the test closes the pipe
		_ = d.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// hold starts another process that holds dir and returns once it does.
func hold(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "held\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	return cmd
}

func TestASecondHolderIsRefusedWithThePid(t *testing.T) {
	dir := t.TempDir()
	cmd := hold(t, dir)
	_, err := Open(dir)
	var held *HeldError
	if !errors.As(err, &held) || held.PID != cmd.Process.Pid || held.Dir != dir || !errors.Is(err, ErrHeld) {
		t.Fatalf("got %v, want HeldError of pid %d", err, cmd.Process.Pid)
	}
	if want := fmt.Sprintf("process %d", cmd.Process.Pid); !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("message %q should be one line naming %q", err, want)
	}
}

func TestAKilledHolderLeavesNoLock(t *testing.T) {
	dir := t.TempDir()
	cmd := hold(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	open(t, dir)
}

func TestTheSameProcessCannotOpenTwice(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	if _, err := Open(dir); !errors.Is(err, ErrHeld) {
		t.Fatalf("got %v, want ErrHeld", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestUnwritableDirectories(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"below a file":    filepath.Join(file, "data"),
		"a file":          file,
		"read-only mount": "/proc/stoker-test",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(path)
			if !errors.Is(err, ErrNotWritable) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line of ErrNotWritable naming %s", err, path)
			}
		})
	}
}

// A tmpfs smaller than MinFree is a disk that is too full; one that has no page left refuses
// the probe itself. Mounting needs CAP_SYS_ADMIN.
func TestFullDisk(t *testing.T) {
	for name, opts := range map[string]string{"little room": "size=4m", "no room": "size=4k,nr_inodes=8"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("stoker-test", dir, "tmpfs", 0, opts); err != nil {
				t.Skipf("SKIP-COUNTED full disk: cannot mount a tmpfs here: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			_, err := Open(dir)
			if !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("got %v, want ErrDiskFull naming %s", err, dir)
			}
			if leftovers, _ := filepath.Glob(filepath.Join(dir, ".probe-*")); len(leftovers) > 0 {
				t.Errorf("probe left %v behind", leftovers)
			}
		})
	}
}

func TestExplainNamesAFullDisk(t *testing.T) {
	err := explain(t.TempDir(), MinFree, &os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC})
	if !errors.Is(err, ErrDiskFull) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line of ErrDiskFull", err)
	}
}

func TestModesKeepOthersOut(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "data"))
	if _, err := d.Keys(); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteServer(Server{PID: os.Getpid(), AdminToken: "secret"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		d.Path(): 0o700, d.keysDir(): 0o700, d.join("server.json"): 0o600,
		filepath.Join(d.keysDir(), "hmac.key"): 0o600, filepath.Join(d.keysDir(), "admin.token"): 0o600,
	} {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

func TestKeysAreMadeOnceAndKept(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	first, err := d.Keys()
	if err != nil {
		t.Fatal(err)
	}
	if len(first.HMAC) != keySize || len(first.Admin) < keySize {
		t.Fatalf("keys too short: %d bytes, %d characters", len(first.HMAC), len(first.Admin))
	}
	_ = d.Close()
	second, err := open(t, path).Keys()
	if err != nil {
		t.Fatal(err)
	}
	if string(second.HMAC) != string(first.HMAC) || second.Admin != first.Admin {
		t.Error("keys changed between two starts")
	}
}

func TestDamagedKeyIsRefused(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "short": "c2hvcnQ\n", "no base64": strings.Repeat("!", 43), "zeros": strings.Repeat("\x00", 44)} {
		for _, file := range []string{"hmac.key", "admin.token"} {
			d := open(t, t.TempDir())
			path := filepath.Join(d.keysDir(), file)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Keys(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s %s: got %v, want ErrDamaged naming it", name, file, err)
			}
		}
	}
}

func TestServerFile(t *testing.T) {
	path := t.TempDir()
	if _, err := ReadServer(path); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("nothing there: got %v, want ErrNotRunning", err)
	}
	d := open(t, path)
	want := Server{PID: os.Getpid(), HTTP: "http://127.0.0.1:8080", NATS: "nats://127.0.0.1:4222", AdminToken: "t"}
	if err := d.WriteServer(want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadServer(path)
	if err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
	_ = d.Close()
	if _, err := ReadServer(path); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("after Close: got %v, want ErrNotRunning", err)
	}
}

func TestServerFileOfADeadPlatform(t *testing.T) {
	d := open(t, t.TempDir())
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteServer(Server{PID: cmd.Process.Pid}); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadServer(d.Path()); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("got %v, want ErrNotRunning", err)
	}
}

func TestDefault(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/x")
	if got, err := Default(); got != "/x/stoker" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("HOME", "/home/u")
	if got, err := Default(); got != "/home/u/.local/share/stoker" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAFileIsReplacedAsAWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users.yaml")
	for _, content := range []string{"old", "new"} {
		if err := Replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v; want a file for its owner only", info, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("got %q, %v; want %q", got, err, content)
		}
	}
	if err := Replace(filepath.Join(path, "below-a-file"), nil); err == nil {
		t.Error("a file was written below a file")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v; want the file alone", entries, err)
	}
}
