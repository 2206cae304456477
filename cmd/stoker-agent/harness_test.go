package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case roleAgent:
		os.Exit(run(nil, os.Stdout, os.Stderr))
	case roleModel:
		os.Exit(playModel())
	case roleParent:
		os.Exit(playParent())
	}
	os.Exit(m.Run())
}

// patience bounds every wait of these tests on a machine that runs others too.
const patience = 90 * time.Second

var key = functions.Key{Namespace: "default", Name: "echo"}

// world is a broker with a deployed function, and a client of it.
type world struct {
	t    testing.TB
	url  string
	bus  *events.Bus
	spec functions.Spec
	dir  string

	mu     sync.Mutex
	beats  map[string][]events.Heartbeat
	beaten chan struct{} // replaced at every beat
}

func newWorld(t testing.TB, change func(*functions.Spec)) *world {
	t.Helper()
	s := eventstest.Server(t, nil)
	w := &world{t: t, url: s.ClientURL(), dir: t.TempDir(), beats: map[string][]events.Heartbeat{}, beaten: make(chan struct{})}
	w.spec = functions.Spec{
		Runtime: functions.Runtime{Drain: functions.DrainSpec{Grace: functions.Duration(5 * time.Second)}},
		Scaling: functions.Scaling{Slots: 2},
		Queue:   functions.Queue{Attempts: 3, Backoff: functions.Backoff{Initial: functions.Duration(20 * time.Millisecond), Max: functions.Duration(100 * time.Millisecond)}},
	}
	if change != nil {
		change(&w.spec)
	}
	w.connect()
	ctx := w.ctx()
	for _, err := range []error{w.bus.Ensure(ctx, events.StreamOptions{}), w.bus.Deploy(ctx, key, 0), w.bus.OpenQueue(ctx, key, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) connect() {
	w.t.Helper()
	bus, err := events.Connect(events.NATSAccess{URL: w.url}, events.ConnectOptions{Name: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.bus = bus
	w.t.Cleanup(bus.Conn().Close) // the broker may be gone: nothing to flush to
	if err := bus.WaitConnected(w.ctx()); err != nil {
		w.t.Fatal(err)
	}
	if _, err := bus.OnHeartbeat(w.beat); err != nil {
		w.t.Fatal(err)
	}
	if err := bus.Flush(w.ctx()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) beat(_ functions.Key, hb events.Heartbeat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beats[hb.Replica] = append(w.beats[hb.Replica], hb)
	close(w.beaten)
	w.beaten = make(chan struct{})
}

// awaitBeat waits for a heartbeat of a replica that is as wanted, and returns it.
func (w *world) awaitBeat(replica, what string, want func(events.Heartbeat) bool) events.Heartbeat {
	w.t.Helper()
	timeout := time.After(patience)
	for seen := 0; ; {
		w.mu.Lock()
		beats, next := w.beats[replica], w.beaten
		w.mu.Unlock()
		for _, hb := range beats[seen:] {
			if want(hb) {
				return hb
			}
		}
		seen = len(beats)
		select {
		case <-next:
		case <-timeout:
			w.t.Fatalf("replica %s: no heartbeat with %s; last of %d: %+v", replica, what, seen, beats[max(0, seen-1):])
		}
	}
}

func (w *world) awaitPhase(replica string, p events.Phase) events.Heartbeat {
	w.t.Helper()
	return w.awaitBeat(replica, "phase "+string(p), func(hb events.Heartbeat) bool { return hb.Phase == p })
}

// process is an agent under test.
type process struct {
	t       testing.TB
	replica string
	cmd     *exec.Cmd
	output  *lockedBuffer
	status  string
	done    chan struct{}
	model   string // directory of the model server's notes
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// config is what a provider writes for a replica whose model server behaves in a mode.
func (w *world) config(replica, mode string) events.AgentConfig {
	w.t.Helper()
	dir := filepath.Join(w.dir, replica)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	return events.AgentConfig{
		Key: key, Replica: replica, Revision: "abc", Spec: w.spec, Stream: events.ShardStream(0),
		Command: []string{os.Args[0]}, WorkingDir: dir,
		Env:     []string{roleVar + "=" + roleModel, modelVar + "=" + mode, modelDirVar + "=" + dir},
		LogFile: filepath.Join(dir, "server.log"), StatusFile: filepath.Join(dir, "status.json"),
		NATS:    events.NATSAccess{URL: w.url, Token: "s3cret-token"},
		Receipt: events.Receipt{Demand: time.Now().Add(-time.Second).UTC(), Reserved: time.Now().UTC()},
	}
}

// start runs an agent as a process of its own.
func (w *world) start(c events.AgentConfig) *process {
	w.t.Helper()
	return w.startAs(c, roleAgent)
}

func (w *world) startAs(c events.AgentConfig, role string) *process {
	w.t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.dir, c.Replica+".json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	p := &process{t: w.t, replica: c.Replica, output: &lockedBuffer{}, status: c.StatusFile, done: make(chan struct{}), model: filepath.Join(w.dir, c.Replica)}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), roleVar+"="+role, configVar+"="+path, "STOKER_SECRET=s3cret-parent")
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if w.t.Failed() {
			w.t.Logf("agent %s said:\n%s", p.replica, p.output)
		}
	})
	return p
}

// ready starts an agent and waits until it pulls.
func (w *world) ready(replica, mode string) *process {
	w.t.Helper()
	p := w.start(w.config(replica, mode))
	w.awaitPhase(replica, events.PhaseReady)
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the agent's exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("agent %s did not exit", p.replica)
		return -1
	}
}

// last is the status file.
func (p *process) last() events.Heartbeat {
	p.t.Helper()
	var hb events.Heartbeat
	data, err := os.ReadFile(p.status)
	if err == nil {
		err = json.Unmarshal(data, &hb)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return hb
}

// note waits for something the model server wrote.
func (p *process) note(name string) string {
	p.t.Helper()
	var data []byte
	await(p.t, "the model server's note "+name, func() (err error) {
		data, err = os.ReadFile(filepath.Join(p.model, name))
		return err
	})
	return string(data)
}

func (p *process) pids(name string) []int {
	p.t.Helper()
	var out []int
	for _, f := range strings.Fields(p.note(name)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			p.t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}

// await repeats check until it is nil.
func await(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("waited %s for %s: %v", patience, what, err)
		}
	}
}

// gone waits until a process is no more, or is a zombie nobody has reaped.
func gone(t *testing.T, pid int) {
	t.Helper()
	await(t, fmt.Sprintf("process %d to be gone", pid), func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z ") {
			return nil
		}
		return fmt.Errorf("still there: %s", stat)
	})
}

// publish stores a request and returns its id.
func (w *world) publish(c functions.Class, e events.Event) string {
	w.t.Helper()
	if e.Source == "" {
		e.Source = "test"
	}
	if e.Type == "" {
		e.Type = events.TypeRequest
	}
	if _, err := w.bus.Publish(w.ctx(), e, key, c); err != nil {
		w.t.Fatal(err)
	}
	return e.ID
}

// ask makes an event whose payload is a wish.
func ask(id string, a wish) events.Event {
	data, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return events.Event{ID: id, DataContentType: "application/json", Data: data}
}

// record waits for a terminal record.
func (w *world) record(id string) events.Record {
	w.t.Helper()
	rec, err := w.bus.WatchRecord(w.ctx(), key, id, "")
	if err != nil {
		w.t.Fatalf("record %s: %v", id, err)
	}
	return rec
}

// empty waits until no request is stored any more.
func (w *world) empty() {
	w.t.Helper()
	await(w.t, "the queue to be empty", func() error {
		n, err := w.bus.PendingOf(w.ctx(), key, 0)
		if err == nil && n[functions.Interactive]+n[functions.Standard]+n[functions.Batch] > 0 {
			err = fmt.Errorf("pending: %v", n)
		}
		return err
	})
}
