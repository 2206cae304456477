package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestFileDescriptorsExhausted leaves the platform without a file descriptor under load: it does not end, and goes on
// by itself once it has some again, with everything it had acknowledged.
func TestFileDescriptorsExhausted(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 2})
	f := p.Function("kept", "-delay", "10ms")
	f.Spec.Scaling = functions.Scaling{Min: 1, Max: 1, Slots: 4}
	f.Spec.Queue.Attempts, f.Spec.Queue.Deadline = 20, functions.Duration(10*time.Minute)
	cold := p.Function("cold")
	cold.Spec.Queue.Deadline = functions.Duration(10 * time.Minute)
	p.Apply(f, cold)
	p.Await("kept", "ready", func(f api.Function) bool { return f.Ready == 1 })
	pid := p.PID()
	load := startLoad(t, p, "kept")
	load.awaitProgress("with file descriptors")

	restore := limitFiles(t, pid)
	conns := takeFiles(t, p)
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	harness.Eventually(t, "nobody is let in any more", func() (bool, any) {
		resp, err := client.Get(p.Server.HTTP + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil, fmt.Sprint(openFiles(t, pid), " open")
	})
	waiting, err := harness.Publish(t.Context(), load.js, harness.Key("cold"), functions.Standard, "wakes without a file descriptor")
	harness.Hold(t, 5*time.Second, "the platform lives", func() (bool, any) { return len(openFilesOf(pid)) > 0, nil })

	restore()
	for _, c := range conns {
		_ = c.Close()
	}
	awaitStorage(t, p, http.StatusOK, "ready")
	load.awaitProgress("with file descriptors again")
	mustInvoke(t, p, "cold", "a wake after it all")
	if err == nil {
		if rec := p.AwaitRecords("cold", []string{waiting})[waiting]; rec.Status != events.StatusOK {
			t.Errorf("a wake meanwhile: %s (%s): %s", rec.Status, rec.Cause, rec.Message)
		}
	}
	accepted, tried := load.stop()
	t.Logf("%d publishes acknowledged of %d tried", len(accepted), tried)
	for id, rec := range p.AwaitRecords("kept", accepted) {
		if rec.Status != events.StatusOK {
			t.Errorf("%s: %s (%s): %s", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	checkOneRecordEach(t, p, "kept", len(accepted), tried)
	if p.PID() != pid || strings.Contains(p.Log(), "panic:") {
		t.Error("the platform did not live through it")
	}
}

// openFilesOf lists the file descriptors of a process; none where it has ended.
func openFilesOf(pid int) []os.DirEntry {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return list
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	n := len(openFilesOf(pid))
	if n == 0 {
		t.Fatal("the platform has ended")
	}
	return n
}

// limitFiles leaves a process hardly more file descriptors than it has, and returns what undoes it.
func limitFiles(t *testing.T, pid int) (restore func()) {
	t.Helper()
	const spare = 4
	var was unix.Rlimit
	low := unix.Rlimit{Cur: uint64(openFiles(t, pid) + spare)}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	low.Max = was.Max
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &low, nil); err != nil {
		t.Skipf("SKIP-COUNTED file descriptors: another process's limit cannot be set here: %v", err)
	}
	return func() {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &was, nil); err != nil {
			t.Error(err)
		}
	}
}

// takeFiles opens connections that nothing comes over: each takes one of the platform's file descriptors.
func takeFiles(t *testing.T, p *harness.Platform) []net.Conn {
	t.Helper()
	const conns = 64
	var out []net.Conn
	for i := range conns {
		address := strings.TrimPrefix(p.Server.HTTP, "http://")
		if i%2 == 1 {
			address = strings.TrimPrefix(p.Server.NATS, "nats://")
		}
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			break // the kernel's queue of connections is full too
		}
		t.Cleanup(func() { _ = c.Close() })
		out = append(out, c)
	}
	return out
}
