package binary

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sources is a repository with a nested module of these files, and a cache of its own.
func sources(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	t.Setenv(cacheVar, filepath.Join(root, "cache"))
	dir := filepath.Join(root, module)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var module1 = map[string]string{"go.mod": "module x\n", "go.sum": "", "main.go": "package main\n"}

func TestTheBinaryIsFoundByWhatItIsMadeOf(t *testing.T) {
	root := sources(t, module1)
	if _, err := Find(root); !errors.Is(err, ErrMissing) {
		t.Fatalf("got %v, want ErrMissing: nobody has built it", err)
	}
	path, err := location(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(root); err != nil || got != path {
		t.Fatalf("got %s, %v, want %s", got, err, path)
	}
	if err := os.WriteFile(filepath.Join(root, module, "main.go"), []byte("package main // changed\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(root); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v, want ErrMissing: the source has changed", err)
	}
}

func TestABuildThatFailsLeavesNoBinary(t *testing.T) {
	root := sources(t, module1) // it requires neither Kubernetes nor kwok
	if _, err := Build(t.Context(), root, t.Output()); err == nil {
		t.Fatal("a module without Kubernetes was built")
	}
	if _, err := Find(root); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v, want ErrMissing", err)
	}
}

func TestOldBinariesGo(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{stem + "used": time.Hour, stem + "unused": keepUnused + time.Hour, "other": 2 * keepUnused} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := forgetOld(dir, now); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 2 || filepath.Base(left[0]) != "other" || filepath.Base(left[1]) != stem+"used" {
		t.Errorf("left are %q (%v), want the one in use and the one of somebody else", left, err)
	}
}

func TestVersionsAreWhatKubernetesReports(t *testing.T) {
	const want = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1" +
		" -X k8s.io/component-base/version.gitMinor=37 -X k8s.io/component-base/version.gitTreeState=clean" +
		" -X sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0"
	if got := ldflags("v1.37.2", "v0.8.0"); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}
