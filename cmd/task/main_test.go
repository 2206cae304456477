//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFindRootLooksUpwards(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(root, "a", "b")
	for _, dir := range []string{filepath.Join(root, "tools"), below} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(below)
	if _, err := findRoot(); !errors.Is(err, errNoRoot) {
		t.Fatalf("without %s: got error %v, want %v", toolsModfile, err, errNoRoot)
	}
	if err := os.WriteFile(filepath.Join(root, toolsModfile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{below, root} {
		t.Chdir(dir)
		if got, err := findRoot(); err != nil || got != root {
			t.Errorf("from %s: got %q, %v, want %q", dir, got, err, root)
		}
	}
}
