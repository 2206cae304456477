package binaries_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/binaries"
)

// findVar makes this test program a program that finds a helper and prints its path: what is
// beside an executable can only be tried with an executable.
const findVar = "BINARIES_TEST_FIND"

func TestMain(m *testing.M) {
	if name := os.Getenv(findVar); name != "" {
		path, err := binaries.Find(context.Background(), name, io.Discard)
		fmt.Println(path, err)
		return
	}
	m.Run()
}

// checkout makes a tiny module with stoker's path and a helper in it, and works there with an
// empty cache of built helpers, whose directory it returns.
func checkout(t *testing.T, helper string) (cache string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module "+binaries.Module+"\n\ngo 1.26\n", 0o644)
	write(t, filepath.Join(dir, "cmd", "helper", "main.go"), helper, 0o644)
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOCACHE", goEnv(t, "GOCACHE")) // its default is in the cache directory that is set next
	cache = t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	return filepath.Join(cache, "stoker", "bin")
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func says(word string) string {
	return "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Print(\"" + word + "\") }\n"
}

func find(t *testing.T, progress io.Writer) string {
	t.Helper()
	path, err := binaries.Find(t.Context(), "helper", progress)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func output(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestBuiltOncePerStateOfTheSources(t *testing.T) {
	checkout(t, says("one"))
	var progress bytes.Buffer
	first := find(t, &progress)
	if got := output(t, first); got != "one" || !strings.Contains(progress.String(), "building helper") {
		t.Errorf("it says %q, progress %q", got, progress.String())
	}
	progress.Reset()
	if again := find(t, &progress); again != first || progress.Len() > 0 {
		t.Errorf("the second time: %s with progress %q", again, progress.String())
	}
	write(t, "cmd/helper/main_test.go", "package main\n", 0o644)
	if again := find(t, io.Discard); again != first {
		t.Error("a test file made another build")
	}
	write(t, "cmd/helper/main.go", says("other"), 0o644)
	if edited := find(t, io.Discard); edited == first || output(t, edited) != "other" {
		t.Errorf("after an edit: %s", edited)
	}
}

func TestABuildThatFailsShowsWhyAndLeavesNothing(t *testing.T) {
	cache := checkout(t, "package main\n\nfunc main() { return 1 }\n")
	_, err := binaries.Find(t.Context(), "helper", io.Discard)
	if err == nil || !strings.Contains(err.Error(), "main.go:3") || !strings.Contains(err.Error(), "build helper") {
		t.Errorf("the compiler's words are missing: %v", err)
	}
	wantNoFiles(t, cache)
}

// cancelling cancels as soon as anything is written to it: the build has begun.
type cancelling struct{ cancel context.CancelFunc }

func (c cancelling) Write(p []byte) (int, error) { c.cancel(); return len(p), nil }

func TestABuildCutShortLeavesNothing(t *testing.T) {
	cache := checkout(t, says("x"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path, err := binaries.Find(ctx, "helper", cancelling{cancel})
	if !errors.Is(err, context.Canceled) || path != "" {
		t.Errorf("%q, %v", path, err)
	}
	wantNoFiles(t, cache)
	if got := output(t, find(t, io.Discard)); got != "x" {
		t.Errorf("the next one says %q", got)
	}
}

func wantNoFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestOldBuildsArePruned(t *testing.T) {
	cache := checkout(t, says("0"))
	for i := range 7 {
		write(t, "cmd/helper/main.go", says(fmt.Sprint(i)), 0o644)
		write(t, "more.txt", strings.Repeat("x", i), 0o644) // another size: another state, whatever the clock's grain
		find(t, io.Discard)
	}
	dirs, err := os.ReadDir(cache)
	if err != nil || len(dirs) != 4 {
		t.Errorf("%d builds are kept, want 4; %v", len(dirs), err)
	}
	if got := output(t, find(t, io.Discard)); got != "6" {
		t.Errorf("the newest says %q", got)
	}
}

func TestPathComesBeforeABuild(t *testing.T) {
	checkout(t, says("built"))
	dir := t.TempDir()
	write(t, filepath.Join(dir, "helper"), "#!/bin/sh\nprintf path\n", 0o755)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	if path := find(t, io.Discard); output(t, path) != "path" || !filepath.IsAbs(path) {
		t.Errorf("found %s", path)
	}
}

func TestBesideTheExecutableComesFirst(t *testing.T) {
	checkout(t, says("built"))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	onPath, beside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(onPath, "helper"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(beside, "finder"), string(program), 0o755)
	run := func() string {
		cmd := exec.CommandContext(t.Context(), filepath.Join(beside, "finder"))
		cmd.Env = append(os.Environ(), findVar+"=helper", "PATH="+onPath+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write(t, filepath.Join(beside, "helper"), "no program", 0o644)
	if got, want := run(), filepath.Join(onPath, "helper")+" <nil>"; got != want {
		t.Errorf("beside a file that cannot be run: %q, want %q", got, want)
	}
	if err := os.Chmod(filepath.Join(beside, "helper"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, want := run(), filepath.Join(beside, "helper")+" <nil>"; got != want {
		t.Errorf("beside it: %q, want %q", got, want)
	}
}

func TestNowhereSaysWhereItWasLookedFor(t *testing.T) {
	for name, arrange := range map[string]func(t *testing.T){
		"another module": func(t *testing.T) { write(t, "go.mod", "module example.org/other\n\ngo 1.26\n", 0o644) },
		"no module":      func(t *testing.T) { t.Chdir(t.TempDir()) },
		"no go command":  func(t *testing.T) { t.Setenv("PATH", t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			checkout(t, says("x"))
			arrange(t)
			_, err := binaries.Find(t.Context(), "helper", io.Discard)
			if !errors.Is(err, binaries.ErrNotFound) {
				t.Fatalf("got %v", err)
			}
			for _, want := range []string{"helper", "beside the executable", "PATH", "checkout of " + binaries.Module} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: no word of %q", err, want)
				}
			}
		})
	}
}
