package local

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"stoker.dev/stoker/functions"
)

// cgroupPrefix begins the name of every cgroup of ours.
const cgroupPrefix = "stoker-"

// cpuPeriod is the kernel's default period of cpu.max, in microseconds.
const cpuPeriod = 100_000

// cgroups makes cgroups (version 2) below the platform's own.
type cgroups struct {
	base   string
	limits bool // memory and cpu are handed to us
}

// findCgroups tells where cgroups can be made, and returns nil where they cannot: a read-only
// mount, a version 1 system, no permission, or a kernel without cgroup.kill (before 5.14).
func findCgroups(log *slog.Logger) *cgroups {
	base, err := ownCgroup()
	if err != nil {
		log.Debug("no cgroups: trees are found by marker and session", "why", err)
		return nil
	}
	probe := filepath.Join(base, fmt.Sprintf("%sprobe-%d", cgroupPrefix, os.Getpid()))
	if err := os.Mkdir(probe, dirMode); err != nil {
		log.Debug("no cgroups: trees are found by marker and session", "why", err)
		return nil
	}
	defer os.Remove(probe)
	if _, err := os.Stat(filepath.Join(probe, "cgroup.kill")); err != nil {
		log.Debug("no cgroups: trees are found by marker and session", "why", err)
		return nil
	}
	// Fails where processes share the cgroup, as in a shell; a service with its own succeeds.
	control := filepath.Join(base, "cgroup.subtree_control")
	err = errors.Join(writeControl(control, "+memory"), writeControl(control, "+cpu"))
	log.Debug("a cgroup per replica", "base", base, "limits", err == nil)
	return &cgroups{base: base, limits: err == nil}
}

// ownCgroup is the directory of the cgroup this process is in.
func ownCgroup() (string, error) {
	self, err := procfs.Self()
	if err != nil {
		return "", err
	}
	memberships, err := self.Cgroups()
	if err != nil {
		return "", err
	}
	mounts, err := self.MountInfo()
	if err != nil {
		return "", err
	}
	for _, c := range memberships {
		if c.HierarchyID != 0 {
			continue // version 1
		}
		for _, m := range mounts {
			rel, err := filepath.Rel(m.Root, c.Path)
			if m.FSType == "cgroup2" && err == nil && filepath.IsLocal(rel) {
				return filepath.Join(m.MountPoint, rel), nil
			}
		}
	}
	return "", errors.New("no cgroup2 is mounted")
}

func (c *cgroups) path(id string) string { return filepath.Join(c.base, cgroupPrefix+id) }

// create makes the cgroup of a replica, with its limits where they can be had.
func (c *cgroups) create(id string, need functions.Resources) (string, error) {
	dir := c.path(id)
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if !c.limits {
		return dir, nil
	}
	var errs []error
	if need.Memory != "" {
		errs = append(errs,
			writeControl(filepath.Join(dir, "memory.max"), strconv.FormatUint(need.Memory.Bytes(), 10)),
			writeControl(filepath.Join(dir, "memory.oom.group"), "1")) // all or nothing: half a model server serves nobody
	}
	if need.CPU != "" {
		errs = append(errs, writeControl(filepath.Join(dir, "cpu.max"), fmt.Sprintf("%d %d", need.CPU.Milli()*cpuPeriod/1000, cpuPeriod)))
	}
	if err := errors.Join(errs...); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	return dir, nil
}

func writeControl(path, text string) error { return os.WriteFile(path, []byte(text), fileMode) }

// killCgroup kills whatever is in a cgroup; one that is not there holds nothing.
func killCgroup(dir string) error {
	err := writeControl(filepath.Join(dir, "cgroup.kill"), "1")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// cgroupMembers lists the living processes of a cgroup; zombies are in none.
func (p processes) cgroupMembers(dir string) ([]member, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []member
	for line := range strings.Lines(string(text)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("read %s/cgroup.procs: %w", dir, err)
		}
		if s, err := p.find(pid); err == nil && !dead(s) {
			out = append(out, member{process{pid, s.Starttime}, s.Comm, s.State})
		}
	}
	return out, nil
}

// oomKills is how many processes of a cgroup the kernel has killed for want of memory, whether at the cgroup's
// limit or because the machine had none left. 0 also where nobody counts.
func oomKills(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "memory.events"))
	if dir == "" || err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == "oom_kill" {
			n, _ := strconv.Atoi(string(f[1]))
			return n
		}
	}
	return 0
}
