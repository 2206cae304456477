package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestModelServerKilledForMemory gives a model server less memory than a request makes it take: the kernel kills it,
// and everybody who asks is told that. The next request is served by another replica.
func TestModelServerKilledForMemory(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	f := p.Function("hungry")
	f.Spec.Scaling.KeepAlive = "1m"
	f.Spec.Queue.Attempts = 1
	p.Apply(f)
	mustInvoke(t, p, "hungry", "small")
	replica := p.Await("hungry", "serving", func(f api.Function) bool { return f.Ready == 1 }).Replicas[0]
	limitMemory(t, replica.ServerPID)

	id := p.MustPublish(p.JetStream(), "hungry", functions.Standard, `{"do":"eat"}`)
	rec := p.AwaitRecords("hungry", []string{id})[id]
	if rec.Status != events.StatusError || !strings.Contains(rec.Message, events.CauseOutOfMemory) {
		t.Errorf("the request ended with %s (%s): %s; want an error that names %s", rec.Status, rec.Cause, rec.Message, events.CauseOutOfMemory)
	}
	got := p.Await("hungry", "its failure known", func(f api.Function) bool { return f.Failure != nil })
	if got.Failure.Replica != replica.ID || got.Failure.Cause != events.CauseOutOfMemory || got.Failure.ExitCode != 137 {
		t.Errorf("failure %+v, want replica %s, cause %s, exit code 137", got.Failure, replica.ID, events.CauseOutOfMemory)
	}
	contains(t, "stoker explain hungry", stoker(t, p, "explain", "hungry"), events.CauseOutOfMemory)
	contains(t, "the next answer", mustInvokeEventually(t, p, "hungry"), "echo")
}

// limitMemory puts a process into a cgroup of its own whose limit is a little above what it has. It skips the test,
// with the reason, where no memory cgroup can be made.
func limitMemory(t *testing.T, pid int) {
	t.Helper()
	const room = 64 << 20 // bytes beside what it has
	limit := fmt.Sprint(resident(t, pid) + room)
	var tried []error
	for base, file := range map[string]string{"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"} {
		dir := filepath.Join(base, fmt.Sprintf("stoker-e2e-%d", pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			tried = append(tried, err)
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		err := writeControl(filepath.Join(dir, file), limit)
		if err == nil {
			err = writeControl(filepath.Join(dir, "cgroup.procs"), fmt.Sprint(pid))
		}
		if err == nil {
			return
		}
		tried = append(tried, err)
	}
	t.Skipf("SKIP-COUNTED killed for memory: no memory cgroup can be made here: %v", errors.Join(tried...))
}

// writeControl is for control files: they are there, and must not be made where they are not.
func writeControl(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// resident is how much memory a process has, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	n, err := residentOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func residentOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0, fmt.Errorf("statm of pid %d: %w: %q", pid, err, text)
	}
	return pages * os.Getpagesize(), nil
}
