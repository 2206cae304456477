package e2e

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// TestUpRefusesInOneLine starts platforms that cannot run: exit code 1, one line that says why and what to do, and
// nothing half-started.
func TestUpRefusesInOneLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		dir  string
		args []string
		want []string
	}{
		"HTTP port in use":       {"", []string{"--listen", taken.Addr().String()}, []string{taken.Addr().String(), "in use", strconv.Itoa(os.Getpid()), "--listen"}},
		"off loopback":           {"", []string{"--listen", "0.0.0.0:0"}, []string{"0.0.0.0:0", "--tls-cert", "127.0.0.1"}},
		"directory under a file": {filepath.Join(file, "data"), nil, []string{file, "--data-dir"}},
		"unwritable directory":   {"/proc/self/stoker", nil, []string{"/proc/self", "--data-dir"}},
		"no such provider":       {"", []string{"--provider", "cloud"}, []string{"cloud", "local, kubernetes, simulated"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := harness.New(t, harness.Options{Dir: tc.dir, Args: tc.args})
			refusesInOneLine(t, p, tc.want...)
		})
	}
}

// refusesInOneLine runs `stoker up`, which must fail.
func refusesInOneLine(t *testing.T, p *harness.Platform, wants ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	cmd := p.Command(ctx, p.UpArgs()...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("stoker up: %v, want exit code 1\n%s", err, stderr.String())
	}
	said := strings.TrimSpace(stderr.String())
	if out.Len() > 0 || strings.Count(said, "\n") > 0 || !strings.HasPrefix(said, "stoker: ") {
		t.Errorf("want one line on standard error and nothing else:\n%s\n%s", out.String(), said)
	}
	contains(t, "the refusal", said, wants...)
	if left := p.Processes(); len(left) > 0 {
		t.Errorf("half-started: %v", left)
	}
}

// TestTwoPlatformsOnOneDirectory starts a second platform beside a running one.
func TestTwoPlatformsOnOneDirectory(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{})
	p.Apply(p.Function("mine"))
	mustInvoke(t, p, "mine", "x")
	second := harness.New(t, harness.Options{Dir: p.Dir})
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	cmd := second.Command(ctx, second.UpArgs()...)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("the second up: %v, want exit code 1\n%s", err, out)
	}
	contains(t, "the second up", string(out), strconv.Itoa(p.PID()), p.Dir)
	mustInvoke(t, p, "mine", "and the first goes on")
	if got := stoker(t, p, "get", "mine"); !strings.Contains(got, "mine") {
		t.Errorf("the CLI no longer finds the first one: %s", got)
	}
}

// TestTooFullToStart starts the platform on a file system that has too little room.
func TestTooFullToStart(t *testing.T) {
	t.Parallel()
	disk := harness.NewDisk(t, 64)
	refusesInOneLine(t, harness.New(t, harness.Options{Dir: filepath.Join(disk.Path, "data")}), "MiB free", "--data-dir")
}

// TestInterruptDrains interrupts a platform with requests in flight and requests that wait: the first finish, the
// second are kept for the next start, and no process is left.
func TestInterruptDrains(t *testing.T) { t.Parallel(); interruptDrains(t, here) }

func interruptDrains(t *testing.T, up starter) {
	p := up(t, harness.Options{})
	f := p.Function("drained", "-delay", "3s")
	f.Spec.Scaling.Slots = 2
	p.Apply(f)
	ids := publishN(t, p, "drained", functions.Standard, 6)
	p.Await("drained", "two in flight", func(f api.Function) bool { return f.InFlight == 2 })
	p.Drain() // wants exit code 0 and no process
	done := harness.Runs(p.Books("drained"))
	if len(done) < 2 || len(done) >= 6 {
		t.Errorf("%d requests were begun before the end, want the two in flight and not all six", len(done))
	}
	p.Start()
	for id, rec := range p.AwaitRecords("drained", ids) {
		if rec.Status != events.StatusOK || rec.Attempt != 1 {
			t.Errorf("%s: %s at attempt %d: %s", id, rec.Status, rec.Attempt, rec.Message)
		}
	}
	for id, n := range harness.Runs(p.Books("drained")) {
		if n != 1 {
			t.Errorf("%s was run %d times: a drain fails nothing", id, n)
		}
	}
}

// TestSecondInterruptStopsAtOnce does not wait for a request that never ends.
func TestSecondInterruptStopsAtOnce(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{Args: []string{"--drain-grace", "10m"}})
	p.Apply(p.Function("endless", "-mode", "hang"))
	p.MustPublish(p.JetStream(), "endless", functions.Standard, "x")
	p.Await("endless", "in flight", func(f api.Function) bool { return f.InFlight == 1 })
	p.Interrupt()
	harness.Eventually(t, "draining", func() (bool, any) { return strings.Contains(p.Log(), "draining"), nil })
	p.Interrupt()
	p.Exit() // long before the ten minutes
}
