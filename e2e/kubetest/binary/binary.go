// Package binary finds and builds the simulated cluster's one file: etcd, the Kubernetes control plane and kwok, from
// the module in e2e/simcluster.
//
// A cold build takes nine minutes of CPU, so its result is kept in the user's cache directory under a name that
// follows from everything it is made of. A checkout that was cleaned, a second worktree and CI's next run find it
// there.
package binary

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// module is the nested module, below the repository's root.
const module = "e2e/simcluster"

// cacheVar names the directory to keep the binary in, instead of the user's cache directory.
const cacheVar = "STOKER_SIMCLUSTER_CACHE"

// stem begins the name of every binary in the cache; the hash follows.
const stem = "simcluster-"

// keepUnused is how long a binary of other sources stays: 150 MB each, and a branch may want its own back for a while.
const keepUnused = 14 * 24 * time.Hour

// parallel compiles at a time: more want over 4 GiB of memory.
const parallel = "-p=2"

// ErrMissing is returned by [Find] for a binary that was not built on this machine.
var ErrMissing = errors.New("the simulated cluster's binary is not built")

// ldflags set the versions that the programs report; without them Kubernetes calls itself v0.0.0-master.
func ldflags(kubernetes, kwok string) string {
	major, minor, _ := strings.Cut(strings.TrimPrefix(kubernetes, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	const version = " -X k8s.io/component-base/version."
	return "-s -w" + version + "gitVersion=" + kubernetes + version + "gitMajor=" + major + version + "gitMinor=" + minor +
		version + "gitTreeState=clean -X sigs.k8s.io/kwok/pkg/consts.Version=" + kwok
}

// Find returns the binary for the sources below root, the repository. It is an error wrapping [ErrMissing] if nobody
// has built it; [Build] does.
func Find(root string) (string, error) {
	path, err := location(root)
	if err != nil {
		return "", err
	}
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil { // used today, so it stays
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w: no %s", ErrMissing, path)
		}
		if _, serr := os.Stat(path); serr != nil {
			return "", serr
		}
	}
	return path, nil
}

// Build returns the binary and builds it first if it is missing; progress and the compiler's complaints go to out.
// Builds wait for each other.
func Build(ctx context.Context, root string, out io.Writer) (string, error) {
	path, err := location(root)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(filepath.Dir(path), ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := Find(root); !errors.Is(err, ErrMissing) {
		return path, err
	}
	fmt.Fprintln(out, "building the simulated cluster (etcd, Kubernetes, kwok): minutes, once; it is kept as", path)
	if err := compile(ctx, root, path, out); err != nil {
		return "", err
	}
	return path, forgetOld(filepath.Dir(path), time.Now())
}

func compile(ctx context.Context, root, path string, out io.Writer) error {
	versions, err := versionsOf(ctx, root)
	if err != nil {
		return err
	}
	partial := path + ".partial" // renamed when whole: a killed build leaves no binary that does not run
	cmd := exec.CommandContext(ctx, "go", "build", parallel, "-ldflags", ldflags(versions[0], versions[1]), "-o", partial, ".")
	cmd.Dir = filepath.Join(root, module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w", module, err)
	}
	return os.Rename(partial, path)
}

// versionsOf reads the versions of Kubernetes and kwok from the module's requirements.
func versionsOf(ctx context.Context, root string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes", "sigs.k8s.io/kwok")
	cmd.Dir = filepath.Join(root, module)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the versions in %s: %w", module, err)
	}
	versions := strings.Fields(string(out))
	if len(versions) != 2 {
		return nil, fmt.Errorf("%s names the versions %q, want those of Kubernetes and kwok", module, versions)
	}
	return versions, nil
}

// location is where the binary for these sources, this toolchain and this platform lies, built or not.
func location(root string) (string, error) {
	sum, err := hash(filepath.Join(root, module))
	if err != nil {
		return "", err
	}
	dir := os.Getenv(cacheVar)
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a place to keep the binary: %w; %s may name one", err, cacheVar)
		}
		dir = filepath.Join(cache, "stoker")
	}
	return filepath.Join(dir, stem+sum), nil
}

// hash covers the module's sources and requirements and this package's way to build them.
func hash(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, ldflags("v0.0", ""))
	for _, path := range append(files, filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")) {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, filepath.Base(path), len(data))
		h.Write(data)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// forgetOld removes binaries that nobody has used for [keepUnused].
func forgetOld(dir string, now time.Time) error {
	files, err := filepath.Glob(filepath.Join(dir, stem+"*"))
	if err != nil {
		return err
	}
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil || now.Sub(info.ModTime()) < keepUnused {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// lock waits for the builds of other processes; it ends with this process at the latest.
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
