//go:build unix

// Command task runs the project's verbs: `go tool task` lists them, `go tool task test` runs one.
//
// It is a doorway, not a task runner. Task itself is pinned in tools/go.mod, a module of its own, because in the
// root go.mod its dependencies would raise the versions that the product links (DECISIONS.md, entry 1). This
// program replaces itself with `go tool -modfile=tools/go.mod task`, so that exit code, signals and terminal are
// those of Task itself.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// toolsModfile is where the tools are pinned, seen from the repository root.
const toolsModfile = "tools/go.mod"

// exitNotRun is the exit code when Task could not be started: the shell's own for "command not found".
const exitNotRun = 127

var errNoRoot = errors.New("no " + toolsModfile + " in this directory or above it: run `go tool task` inside the stoker repository")

func main() {
	err := run(os.Args[1:])
	fmt.Fprintln(os.Stderr, "task:", err)
	os.Exit(exitNotRun)
}

// run replaces this process by Task; it returns only when that failed.
func run(args []string) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	goBinary, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("the go command is needed to run the project's verbs: %w", err)
	}
	argv := append([]string{"go", "tool", "-modfile=" + filepath.Join(root, toolsModfile), "task"}, args...)
	if err := syscall.Exec(goBinary, argv, os.Environ()); err != nil {
		return fmt.Errorf("start %s: %w", goBinary, err)
	}
	return nil
}

// findRoot returns the nearest directory, from the current one upwards, that holds tools/go.mod.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository root: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, toolsModfile)); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errNoRoot
		}
		dir = parent
	}
}
