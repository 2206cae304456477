package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/server"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// beside is a model server that the test runs, as a kubelet does.
type beside struct {
	t    *testing.T
	port int
	cmd  *exec.Cmd
	done chan struct{}
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// beside runs a model server on a port.
func (w *world) beside(t *testing.T, replica, mode string, port int) *beside {
	t.Helper()
	m := &beside{t: t, port: port, cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	dir := filepath.Join(w.dir, replica)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m.cmd.Env = append(os.Environ(), roleVar+"="+roleModel, modelVar+"="+mode, modelDirVar+"="+dir, "PORT="+strconv.Itoa(port))
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = m.cmd.Wait()
		close(m.done)
	}()
	t.Cleanup(m.kill)
	return m
}

// kill returns once the server is dead.
func (m *beside) kill() {
	_ = m.cmd.Process.Kill()
	<-m.done
}

func (m *beside) serves() {
	m.t.Helper()
	select {
	case <-m.done:
		m.t.Errorf("the model server ended: %v", m.cmd.ProcessState)
	default:
	}
}

// attachConfig is what a provider of Pods writes. The status file is there already, as a Pod's
// termination message is.
func (w *world) attachConfig(t *testing.T, replica string, port int) events.AgentConfig {
	t.Helper()
	c := w.config(replica, "")
	c.Attach, c.Port, c.Listen = true, port, net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	c.Command, c.Env, c.WorkingDir, c.LogFile = nil, nil, "", ""
	if err := os.WriteFile(c.StatusFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// attached is an agent that pulls for a model server beside it.
func (w *world) attached(t *testing.T, replica, mode string) (*process, *beside, events.AgentConfig) {
	t.Helper()
	m := w.beside(t, replica, mode, freePort(t))
	c := w.attachConfig(t, replica, m.port)
	p := w.start(c)
	w.awaitPhase(replica, events.PhaseReady)
	return p, m, c
}

// stays wants the agent to say that the replica has exited, and to go on saying so until it is
// told to go; then it exits with 0.
func (w *world) stays(p *process, cause string) events.Heartbeat {
	w.t.Helper()
	var hb events.Heartbeat
	for range 2 {
		at := time.Now()
		hb = w.awaitBeat(p.replica, "phase exited, and later", func(hb events.Heartbeat) bool {
			return hb.Phase == events.PhaseExited && hb.At.After(at)
		})
	}
	if hb.Cause != cause {
		w.t.Errorf("cause %q, want %q: %+v", hb.Cause, cause, hb)
	}
	if last := p.last(); last.Phase != events.PhaseExited || last.Cause != cause {
		w.t.Errorf("status %+v", last)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		w.t.Errorf("exit code %d", code)
	}
	return hb
}

// failures are the attempts that count against the first n requests, by sequence number.
func (w *world) failures(n int) []int {
	w.t.Helper()
	out := make([]int, n)
	for i := range out {
		a, err := w.bus.Attempts(w.ctx(), key, events.ShardStream(0), uint64(i+1))
		if err != nil {
			w.t.Fatal(err)
		}
		out[i] = a.Failures
	}
	return out
}

// get asks the agent's own server, and returns the status.
func get(t *testing.T, method, listen, path string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+listen+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// hook asks the agent to drain, as a preStop hook does.
func hook(t *testing.T, c events.AgentConfig) <-chan int {
	t.Helper()
	answered := make(chan int, 1)
	go func() { answered <- get(t, http.MethodGet, c.Listen, events.AgentDrainPath) }()
	return answered
}

func TestAttachesToTheServerBesideIt(t *testing.T) {
	w := newWorld(t, nil)
	c := w.attachConfig(t, "r1", freePort(t))
	before, err := os.Stat(c.StatusFile)
	if err != nil {
		t.Fatal(err)
	}
	p := w.start(c)
	w.awaitPhase("r1", events.PhaseLoading)
	m := w.beside(t, "r1", "", c.Port)
	w.awaitPhase("r1", events.PhaseReady)
	if code := get(t, http.MethodGet, c.Listen, events.AgentHealthPath); code != http.StatusOK {
		t.Errorf("health: status %d", code)
	}
	got := w.collect(w.call(functions.Standard, ask("one", wish{})))
	if got.Status != events.StatusOK || got.Replica != "r1" || got.Attempt != 1 {
		t.Errorf("reply %+v", got)
	}
	hb := w.awaitBeat("r1", "one served", func(hb events.Heartbeat) bool { return hb.Totals.Served == 1 })
	r := hb.Receipt
	if hb.ServerPID != 0 || r.Demand.IsZero() || r.Spawned.IsZero() || r.Loading.Before(r.Spawned) || r.Ready.Before(r.Loading) || r.FirstByte.Before(r.Ready) {
		t.Errorf("heartbeat %+v", hb)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	m.serves()
	if last := p.last(); last.Phase != events.PhaseExited || last.Cause != events.CauseDrained {
		t.Errorf("status %+v", last)
	}
	if after, err := os.Stat(c.StatusFile); err != nil || !os.SameFile(before, after) {
		t.Errorf("the status file was replaced, which a mounted one cannot be: %v", err)
	}
}

func TestDrainHookHoldsUntilNothingIsInFlight(t *testing.T) {
	w := newWorld(t, func(s *functions.Spec) { s.Scaling.Slots = 1 })
	p, m, c := w.attached(t, "r1", "")
	for path, method := range map[string]string{events.AgentDrainPath: http.MethodPost, "/": http.MethodGet, "/metrics": http.MethodGet} {
		if code := get(t, method, c.Listen, path); code != http.StatusNotFound && code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: status %d", method, path, code)
		}
	}
	w.publish(functions.Standard, ask("running", wish{Do: "slow", Millis: 700}))
	p.note("began")
	w.publish(functions.Standard, ask("left", wish{}))
	first, second := hook(t, c), hook(t, c)
	w.awaitPhase("r1", events.PhaseDraining)
	for _, answered := range []<-chan int{first, second} {
		if code := <-answered; code != http.StatusOK {
			t.Errorf("drain: status %d", code)
		}
		if rec, err := w.bus.GetRecord(w.ctx(), key, "running", ""); err != nil || rec.Status != events.StatusOK || string(rec.Body) != "slow" {
			t.Errorf("the hook was answered before the request was: record %+v, error %v", rec, err)
		}
	}
	if code := <-hook(t, c); code != http.StatusOK { // at once
		t.Errorf("drain again: status %d", code)
	}
	m.kill() // as the kubelet does then
	w.stays(p, events.CauseDrained)
	if n, err := w.bus.PendingOf(w.ctx(), key, 0); err != nil || n[functions.Standard] != 1 {
		t.Errorf("pending %v, error %v: what was not begun must stay", n, err)
	}
	if got := w.failures(2); got[0]+got[1] != 0 {
		t.Errorf("failures %v", got)
	}
}

func TestDrainHookAnswersWhenTheGraceIsOver(t *testing.T) {
	w := newWorld(t, func(s *functions.Spec) { s.Runtime.Drain.Grace = functions.Duration(200 * time.Millisecond) })
	p, m, c := w.attached(t, "r1", "")
	w.publish(functions.Standard, ask("long", wish{Do: "slow", Millis: 60_000}))
	p.note("began")
	if code := <-hook(t, c); code != http.StatusOK {
		t.Errorf("drain: status %d", code)
	}
	if got := w.failures(1); got[0] != 0 {
		t.Errorf("failures %v: a drain is nobody's", got)
	}
	if d := w.pullOne(); d.Request.Event.ID != "long" || d.Delivered != 2 {
		t.Errorf("delivery %+v", d)
	}
	m.serves()
	w.stays(p, events.CauseDrained)
}

// TestServerTakenAwayWhileDraining is a kubelet whose grace is over before the manifest's.
func TestServerTakenAwayWhileDraining(t *testing.T) {
	w := newWorld(t, nil)
	p, m, c := w.attached(t, "r1", "")
	w.publish(functions.Standard, ask("long", wish{Do: "slow", Millis: 60_000}))
	p.note("began")
	answered := hook(t, c)
	w.awaitPhase("r1", events.PhaseDraining)
	m.kill()
	if code := <-answered; code != http.StatusOK {
		t.Errorf("drain: status %d", code)
	}
	if d := w.pullOne(); d.Request.Event.ID != "long" || d.Delivered != 2 {
		t.Errorf("delivery %+v", d)
	}
	if got := w.failures(1); got[0] != 0 {
		t.Errorf("failures %v: the server was taken away", got)
	}
	w.stays(p, events.CauseDrained)
}

// TestAddressThatIsTaken: the next start of the agent finds the model server alive, since no heartbeat said that
// the replica is over.
func TestAddressThatIsTaken(t *testing.T) {
	w := newWorld(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := w.beside(t, "r1", "", freePort(t))
	c := w.attachConfig(t, "r1", m.port)
	c.Listen = l.Addr().String()
	p := w.start(c)
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d: a kubelet must start it again", code)
	}
	if last := p.last(); !strings.Contains(last.Message, events.AgentListenVar) {
		t.Errorf("status %+v", last)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.start(c)
	w.awaitPhase("r1", events.PhaseReady)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, hb := range w.beats["r1"] {
		if hb.Phase == events.PhaseExited {
			t.Errorf("it was said to be over: %+v", hb)
		}
	}
}

func TestPodsEnvironmentOverridesTheConfig(t *testing.T) {
	w := newWorld(t, nil)
	m := w.beside(t, "r1", "", freePort(t))
	c := w.attachConfig(t, "r1", 0)
	t.Setenv(events.ServerPortVar, strconv.Itoa(m.port))
	t.Setenv(events.AgentListenVar, c.Listen)
	listen := c.Listen
	c.Listen = "127.0.0.1:1" // where it may not
	w.start(c)
	w.awaitPhase("r1", events.PhaseReady)
	if code := get(t, http.MethodGet, listen, events.AgentHealthPath); code != http.StatusOK {
		t.Errorf("health: status %d", code)
	}
	if got := w.collect(w.call(functions.Standard, ask("q", wish{}))); got.Status != events.StatusOK {
		t.Errorf("reply %+v", got)
	}
}

func TestBadConfigurationsOfAnAgentThatAttaches(t *testing.T) {
	const head = `{"key":{"namespace":"a","name":"b"},"replica":"r","stream":"S","nats":{"url":"x"},"attach":true`
	for _, c := range []struct{ name, more, port, listen, says string }{
		{"no port", `}`, "", "", "missing: port (or STOKER_SERVER_PORT)"},
		{"bad port", `,"port":-1}`, "", "", "port is -1, allowed"},
		{"a command", `,"port":1,"command":["x"]}`, "", "", "command is given, allowed: none with attach"},
		{"port that is no number", `}`, "http", "", `STOKER_SERVER_PORT is "http", allowed: 1 to 65535`},
		{"port that cannot be", `,"port":1}`, "65536", "", `STOKER_SERVER_PORT is "65536", allowed: 1 to 65535`},
		{"address without a port", `,"port":1}`, "", "localhost", `STOKER_AGENT_LISTEN is "localhost", allowed: an address such as :9461`},
		{"address with port 0", `,"port":1}`, "", ":0", `STOKER_AGENT_LISTEN is ":0", allowed`},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{events.ServerPortVar: c.port, events.AgentListenVar: c.listen}
			if _, err := parseConfig([]byte(head+c.more), func(name string) string { return env[name] }); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
	child := fmt.Sprintf(`{"key":{"namespace":"a","name":"b"},"replica":"r","stream":"S","nats":{"url":"x"},"command":["x"],"port":%d}`, 7)
	got, err := parseConfig([]byte(child), func(string) string { return "8" })
	if err != nil || got.Port != 7 || got.Listen != "" {
		t.Errorf("an agent with a child read a Pod's environment: %+v, %v", got, err)
	}
}
