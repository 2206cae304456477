package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/datadir"
)

// drainGrace is what replicas have to finish when a platform is interrupted; tests' requests are shorter.
const drainGrace = 20 * time.Second

// logTail is how much of a log a failed test shows.
const logTail = 24 << 10 // bytes

// Options of a platform.
type Options struct {
	GPUs int      // simulated; 0 is 1
	Dir  string   // data directory; empty is a new one
	Env  []string // KEY=VALUE beside the few that every platform gets
	Args []string // of `stoker up`
	NATS string   // URL of a broker that is not the platform's; empty: its own
	Log  string   // path of its output; empty is a new one
	Pods *Pods    // where replicas are Pods; nil: they are processes of the platform's own machine
}

// Pods say how replicas run as Pods whose containers are processes of this machine (kubetest.HostNode).
type Pods struct {
	Args  []string // of `stoker up`: which cluster, and what it needs there
	Image string   // stands for the model server
	Files string   // directory of the node's own files
}

// Platform is a `stoker up` of the test.
type Platform struct {
	Dir    string         // data directory
	Server datadir.Server // how it is reached, since the last start
	API    *api.Client    // with the platform's token

	t     testing.TB
	o     Options
	bin   string
	books string // directory of the model servers' books and locks
	log   string // path, all starts in one

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Up starts a platform and waits until it is ready. It is drained when the test ends.
func Up(t testing.TB, o Options) *Platform {
	t.Helper()
	p := New(t, o)
	p.Start()
	return p
}

// New prepares a platform that is not started yet.
func New(t testing.TB, o Options) *Platform {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "data")
	}
	if o.Log == "" {
		o.Log = filepath.Join(t.TempDir(), "up.log")
	}
	p := &Platform{t: t, o: o, Dir: o.Dir, bin: Bin(t, Stoker), books: t.TempDir(), log: o.Log}
	Bin(t, Agent)
	t.Cleanup(p.cleanup)
	return p
}

// cleanup ends the platform as a user would, unless the test failed anyway.
func (p *Platform) cleanup() {
	if p.alive() && !p.t.Failed() {
		p.Drain()
	}
	p.Kill9()
	if p.t.Failed() {
		p.dump()
	}
	p.sweep()
	p.checkRaces()
}

// checkRaces fails the test for every data race a platform or an agent reported.
func (p *Platform) checkRaces() {
	logs, _ := filepath.Glob(filepath.Join(p.Dir, "replicas", "*", "*.log"))
	for _, path := range append(logs, p.log) {
		CheckRaces(p.t, path)
	}
}

// CheckRaces fails the test for a data race that is told in a log; one that is not there tells none.
func CheckRaces(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	if i := bytes.Index(data, []byte("WARNING: DATA RACE")); i >= 0 {
		t.Errorf("%s: %s", filepath.Base(path), data[i:min(len(data), i+4000)])
	}
}

// Command is `stoker <args>` on the platform's data directory, ready to run.
func (p *Platform) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.bin, args...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8",
		"STOKER_DATA_DIR=" + p.Dir, "GORACE=halt_on_error=0 exitcode=0",
	}, p.o.Env...)
	if p.o.NATS != "" {
		cmd.Env = append(cmd.Env, "STOKER_NATS_URL="+p.o.NATS)
	}
	return cmd
}

// UpArgs are the arguments of the platform's `stoker up`.
func (p *Platform) UpArgs() []string {
	args := []string{"up", "--listen", "127.0.0.1:0", "--random-ports", "--drain-grace", drainGrace.String()}
	if p.o.Pods != nil {
		args = append(args, p.o.Pods.Args...)
	} else {
		args = append(args, "--gpus", strconv.Itoa(max(p.o.GPUs, 1)))
	}
	return append(args, p.o.Args...)
}

// Start starts the platform, for the first time or again, and waits until it is ready.
func (p *Platform) Start() {
	p.t.Helper()
	p.Launch()
	p.AwaitReady()
}

// Launch starts the platform's process and does not wait for it.
func (p *Platform) Launch() {
	p.t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	fmt.Fprintf(out, "\n=== start %s\n", time.Now().Format(time.RFC3339Nano))
	cmd := p.Command(context.Background(), p.UpArgs()...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // Ctrl-C of the test is not the platform's
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
}

// AwaitReady waits until a launched platform serves.
func (p *Platform) AwaitReady() {
	p.t.Helper()
	Eventually(p.t, "platform ready", func() (bool, any) {
		if !p.alive() {
			p.t.Fatalf("the platform ended while it started: %s", p.cmd.ProcessState)
		}
		s, err := datadir.ReadServer(p.Dir)
		if err != nil || s.PID != p.cmd.Process.Pid {
			return false, err
		}
		hc, err := api.Trust(s.CertFile, s.CertName)
		if err != nil {
			return false, err
		}
		p.Server, p.API = s, api.NewClient(s.HTTP, s.AdminToken, hc)
		return status(p.t.Context(), hc, s.HTTP+"/readyz") == http.StatusOK, s
	})
}

// status asks once; a nil client is the usual one.
func status(ctx context.Context, hc *http.Client, url string) int {
	if hc == nil {
		hc = http.DefaultClient
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := hc.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// PID of the platform's process.
func (p *Platform) PID() int { return p.cmd.Process.Pid }

func (p *Platform) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill9 kills the platform's process and nothing else. One that does not run is fine.
func (p *Platform) Kill9() {
	if !p.alive() {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Interrupt sends what Ctrl-C sends, and returns at once.
func (p *Platform) Interrupt() { Signal(p.t, p.PID(), unix.SIGINT) }

// Exit waits for the platform's end and returns its exit code.
func (p *Platform) Exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(drainGrace + Patience):
		p.t.Errorf("the platform does not end")
		return -1
	}
}

// Drain interrupts the platform and fails the test if it does not end well or leaves processes behind.
func (p *Platform) Drain() {
	p.t.Helper()
	p.Interrupt()
	if code := p.Exit(); code != 0 {
		p.t.Errorf("a drained platform ended with exit code %d, want 0", code)
	}
	if left := p.Processes(); len(left) > 0 {
		p.t.Errorf("left over after a drain: %v", left)
	}
}

// Log is everything the platform has written so far.
func (p *Platform) Log() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Error(err)
	}
	return string(data)
}

// dump shows what the platform and its replicas said.
func (p *Platform) dump() {
	logs, _ := filepath.Glob(filepath.Join(p.Dir, "replicas", "*", "*.log"))
	for _, path := range append([]string{p.log}, logs...) {
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			continue
		}
		p.t.Logf("--- %s\n%s", strings.TrimPrefix(path, p.Dir), data[max(0, len(data)-logTail):])
	}
}
