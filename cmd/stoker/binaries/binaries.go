// Package binaries finds the helper programs that stoker starts: beside its own executable,
// then on PATH, then built once from the module it is run from, into the user's cache.
//
// A build is kept by a fingerprint of the module's sources, so an edited helper is built again
// and an unchanged one is not. Failure cases: no Go toolchain or no sources (the error says
// where was looked and how to get the program), and a build that fails (its output is shown).
package binaries

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Module is the module whose cmd/<name> folders hold the helpers.
const Module = "stoker.dev/stoker"

const (
	// keepBuilds is how many states of the sources are kept built: today's, yesterday's, and
	// those of a branch or two.
	keepBuilds = 4
	// tellEvery is how often a long build says that it goes on.
	tellEvery = 10 * time.Second
)

// ErrNotFound is returned when a helper is nowhere and cannot be built.
var ErrNotFound = errors.New("helper program not found")

// Find returns the path of a helper, building it if it must; progress goes to w.
func Find(ctx context.Context, name string, w io.Writer) (string, error) {
	if p, ok := beside(name); ok {
		return p, nil
	}
	if p, err := exec.LookPath(name); err == nil {
		return filepath.Abs(p)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %s is neither beside the executable nor on PATH, and it cannot be built: %w; put it on PATH, or run inside a checkout of %s", ErrNotFound, name, err, Module)
	}
	return build(ctx, root, name, w)
}

func beside(name string) (string, bool) {
	self, err := os.Executable()
	if err != nil {
		return "", false
	}
	p := filepath.Join(filepath.Dir(self), name)
	info, err := os.Stat(p)
	return p, err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// moduleRoot is the checkout the command runs in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("ask the go command for the module: %w%s", err, said(err))
	}
	path, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if path != Module || dir == "" {
		return "", fmt.Errorf("the working directory is in module %q", path)
	}
	return dir, nil
}

// said is what a command that failed wrote to standard error.
func said(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return ": " + string(bytes.TrimSpace(exit.Stderr))
	}
	return ""
}

func build(ctx context.Context, root, name string, w io.Writer) (string, error) {
	sources, err := fingerprint(root)
	if err != nil {
		return "", fmt.Errorf("read the sources of %s: %w", name, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache directory: %w", err)
	}
	builds := filepath.Join(cache, "stoker", "bin")
	target := filepath.Join(builds, sources, name)
	if _, err := os.Stat(target); err == nil {
		used(filepath.Dir(target))
		return target, nil
	}
	if err := compile(ctx, root, name, target, w); err != nil {
		return "", err
	}
	prune(builds)
	return target, nil
}

// compile builds beside the target and renames, so that a build cut short leaves nothing that
// looks finished.
func compile(ctx context.Context, root, name, target string, w io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("make the cache of built helpers: %w", err)
	}
	half := fmt.Sprintf("%s.%d", target, os.Getpid())
	defer os.Remove(half)
	begun := time.Now()
	fmt.Fprintf(w, "building %s, once...\n", name)
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "build", "-o", half, "./cmd/"+name)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, &output, &output
	if err := runTelling(cmd, func() { fmt.Fprintf(w, "building %s: %s so far\n", name, since(begun)) }); err != nil {
		return fmt.Errorf("build %s in %s: %w\n%s", name, root, err, bytes.TrimSpace(output.Bytes()))
	}
	if err := os.Rename(half, target); err != nil {
		return fmt.Errorf("keep the built %s: %w", name, err)
	}
	fmt.Fprintf(w, "built %s in %s\n", name, since(begun))
	return nil
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }

// runTelling runs a command and calls tell now and then while it lasts.
func runTelling(cmd *exec.Cmd, tell func()) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			tell()
		}
	}
}

// used marks a build as in use, so that it is among the last to be pruned. Where that fails it
// is only built again some day.
func used(dir string) {
	now := time.Now()
	_ = os.Chtimes(dir, now, now)
}

// prune keeps the newest builds: every change of the sources makes one of some ten megabytes. A
// program that runs from a removed file goes on running.
func prune(builds string) {
	dirs, err := os.ReadDir(builds)
	if err != nil || len(dirs) <= keepBuilds {
		return
	}
	age := func(d fs.DirEntry) time.Time {
		info, err := d.Info()
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(dirs, func(a, b fs.DirEntry) int { return age(b).Compare(age(a)) })
	for _, d := range dirs[keepBuilds:] {
		_ = os.RemoveAll(filepath.Join(builds, d.Name()))
	}
}

// fingerprint changes when any source of the module does.
func fingerprint(root string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !source(d.Name()) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

// source tells what a helper is built from; embedded texts count, tests do not.
func source(name string) bool {
	if strings.HasSuffix(name, "_test.go") {
		return false
	}
	switch filepath.Ext(name) {
	case ".go", ".mod", ".sum", ".txt":
		return true
	}
	return false
}
