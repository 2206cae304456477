package local

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/nvml"
	"stoker.dev/stoker/activities/providertest"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

// TestConformance runs the suite in both ways a tree is found.
func TestConformance(t *testing.T) {
	t.Run("Scan", func(t *testing.T) { conformance(t, true) })
	if c := findCgroups(slog.New(slog.DiscardHandler)); c == nil {
		t.Log("not run with cgroups: none can be made here")
		return
	}
	t.Run("Cgroup", func(t *testing.T) { conformance(t, false) })
}

func conformance(t *testing.T, noCgroup bool) {
	o := options(t)
	o.NoCgroup = noCgroup
	suite(t, o, events.NATSAccess{})
}

// TestConformanceOfTheRealAgent runs the suite with the program that runs in production, as far
// as it goes without a model: its servers never get ready.
func TestConformanceOfTheRealAgent(t *testing.T) {
	_, _, url := eventstest.Start(t)
	o := options(t)
	o.AgentBinary = realAgent(t)
	suite(t, o, events.NATSAccess{URL: url})
}

// realAgent builds the program that runs in production.
func realAgent(t *testing.T) string {
	t.Helper()
	agent := filepath.Join(t.TempDir(), "stoker-agent")
	if out, err := exec.Command("go", "build", "-o", agent, "stoker.dev/stoker/cmd/stoker-agent").CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	return agent
}

func suite(t *testing.T, o Options, broker events.NATSAccess) {
	providertest.Run(t, func(t *testing.T) *providertest.Harness {
		gpus := &testGPUs{GPUs: SimulatedGPUs(3), foreign: map[string]bool{}}
		o := o
		o.GPUs, o.Dir = gpus, filepath.Join(t.TempDir(), "replicas")
		l := open(t, o)
		return &providertest.Harness{
			Provider: l,
			Runtime:  behave, Checkpoints: t.TempDir(),
			Agent: events.AgentConfig{Stream: events.ShardStream(0), NATS: broker},
			Restart: func(t *testing.T) activities.Provider {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = open(t, o)
				return l
			},
			Processes: living,
			Hold:      func(device, _ string) { gpus.hold(device) },
			Settled:   func(t *testing.T) { settled(t, l) },
		}
	})
}

// options are a provider over an empty directory whose agent is this test binary.
func options(t testing.TB) Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Dir: filepath.Join(t.TempDir(), "replicas"), AgentBinary: self, Logger: slog.New(slog.DiscardHandler)}
}

// open opens a provider that kills what it runs when the test ends.
func open(t testing.TB, o Options) *Local {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, l) })
	return l
}

// kill ends whatever a test left running, and closes the provider.
func kill(t testing.TB, l *Local) {
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's own has ended
	defer cancel()
	seen := l.board.Watch(ctx)
	left := map[string]bool{}
	for _, s := range l.board.List() {
		if l.Stop(ctx, s.ID, 0) == nil { // closed: a later provider had it, and has ended it
			left[s.ID] = true
		}
	}
	for len(left) > 0 {
		s, open := <-seen
		if !open {
			t.Errorf("still there at the end: %v", left)
			break
		}
		if s.State == activities.RunGone {
			delete(left, s.ID)
		}
	}
	l.Close()
}

// behave makes a real process of each behaviour.
func behave(b providertest.Behaviour) functions.Runtime {
	var env []functions.EnvVar
	if b == providertest.Deaf {
		env = []functions.EnvVar{{Name: deafAgent, Value: "1"}}
	}
	return functions.Runtime{Local: &functions.Local{Command: []string{"sh"}, Args: []string{"-c", providertest.Script(b)}}, Env: env}
}

// living lists the processes that carry a replica's marker.
func living(t *testing.T, id string) []int {
	t.Helper()
	procs, _, err := openProcesses()
	if err != nil {
		t.Fatal(err)
	}
	all, err := procs.fs.AllProcs()
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, p := range all {
		if s, err := p.Stat(); err == nil && !dead(s) && procs.marked(p, s, MarkerVar+"="+id) {
			out = append(out, p.PID)
		}
	}
	return out
}

// settled looks for zombies, credentials and cgroups that are left.
func settled(t *testing.T, l *Local) {
	t.Helper()
	all, err := l.procs.fs.AllProcs()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if s, err := p.Stat(); err == nil && s.PPID == l.procs.self && dead(s) {
			t.Errorf("process %d (%s) was not reaped", s.PID, s.Comm)
		}
	}
	files, err := filepath.Glob(filepath.Join(l.o.Dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	kept := []string{runFile, serverLog, agentLog}
	for _, f := range files {
		if !slices.Contains(kept, filepath.Base(f)) {
			t.Errorf("%s is left behind", f)
		}
	}
	if l.cgroups != nil {
		left, err := filepath.Glob(filepath.Join(l.cgroups.base, cgroupPrefix+"conformance-*"))
		if err != nil || len(left) > 0 {
			t.Errorf("cgroups are left behind: %v, %v", left, err)
		}
	}
}

// testGPUs are simulated ones that somebody else can hold.
type testGPUs struct {
	GPUs
	mu      sync.Mutex
	foreign map[string]bool
}

func (g *testGPUs) hold(device string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.foreign[device] = true
}

func (g *testGPUs) Devices(ctx context.Context) ([]nvml.Device, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all, err := g.GPUs.Devices(ctx)
	for i := range all {
		if g.foreign[all[i].UUID] {
			all[i].Processes = []nvml.Process{{PID: os.Getpid(), Name: "local.test", Memory: 1 << 30}}
		}
	}
	return all, err
}
