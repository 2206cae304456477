package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Names of the programs below the directory of [Bin].
const (
	Stoker      = "stoker"
	Agent       = "stoker-agent"
	TinyLM      = "tinylm"
	ModelServer = "modelserver"
	Trainer     = "trainer"
	Servers     = "servers"
)

// packages are what the programs are built from.
var packages = map[string]string{
	Stoker: "./cmd/stoker", Agent: "./cmd/stoker-agent", TinyLM: "./cmd/tinylm",
	ModelServer: "./e2e/modelserver", Trainer: "./e2e/trainer", Servers: "./e2e/servers",
}

// builds holds one build per program and test run.
var builds sync.Map // name → func() (string, error)

// Bin returns the path of a program, built with the race detector where the test is. All programs lie in one
// directory, where stoker finds its helpers. The go command skips what is up to date.
func Bin(t testing.TB, name string) string {
	t.Helper()
	once, _ := builds.LoadOrStore(name, sync.OnceValues(func() (string, error) { return build(name) }))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	return path
}

func build(name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "build", "e2e")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	args := []string{"build"}
	if name != TinyLM { // the model's arithmetic has no use for it and takes ten times as long
		args = append(args, raceFlag...)
	}
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", append(args, "-o", path, packages[name])...) //nolint:noctx // 2026-11-23: for all tests, so it ends with none
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(cmd.Args[1:], " "), err, out)
	}
	return path, nil
}

// lock keeps two test runs from building into one file.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// Root is the repository.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output() //nolint:noctx // 2026-11-23: returns at once
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Tool returns the path of a tool pinned in tools/go.mod, such as nats, built on first use.
func Tool(t testing.TB, name string) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "tool", "-modfile="+filepath.Join(root, "tools", "go.mod"), "-n", name).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		t.Fatalf("build the pinned %s: %v\n%s", name, err, failed.Stderr)
	}
	if err != nil {
		t.Fatalf("build the pinned %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}
