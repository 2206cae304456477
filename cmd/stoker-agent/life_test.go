package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	for _, how := range []string{"control", "signal"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, func(s *functions.Spec) { s.Scaling.Slots = 1 })
			p := w.ready("r1", "")
			w.publish(functions.Standard, ask("running", wish{Do: "slow", Millis: 500}))
			p.note("began")
			w.publish(functions.Standard, ask("left", wish{}))
			if how == "signal" {
				p.signal(syscall.SIGTERM)
			} else if err := w.bus.SendControl(w.ctx(), key, "r1", events.Control{Op: events.OpDrain, GraceSeconds: 5}); err != nil {
				t.Fatal(err)
			}
			w.awaitPhase("r1", events.PhaseDraining)
			if rec := w.record("running"); rec.Status != events.StatusOK || string(rec.Body) != "slow" {
				t.Errorf("record %+v", rec)
			}
			if code := p.wait(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if last := p.last(); last.Phase != events.PhaseExited || last.Cause != events.CauseDrained || last.Totals.Served != 1 {
				t.Errorf("status %+v", last)
			}
			if n, err := w.bus.PendingOf(w.ctx(), key, 0); err != nil || n[functions.Standard] != 1 {
				t.Errorf("pending %v, error %v: what was not begun must stay", n, err)
			}
			w.ready("r2", "")
			if rec := w.record("left"); rec.Status != events.StatusOK || rec.Attempt != 1 {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

func TestGraceCutsOffAndGivesBackUncounted(t *testing.T) {
	w := newWorld(t, nil)
	p := w.ready("r1", "stubborn")
	e := ask("long", wish{Do: "slow", Millis: 60_000, File: filepath.Join(w.dir, "unused")})
	w.publish(functions.Standard, e)
	p.note("began")
	model := p.pids("pid")[0]
	if err := w.bus.SendControl(w.ctx(), key, "r1", events.Control{Op: events.OpDrain, GraceSeconds: 0.1}); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != exitOK { // the server ignores SIGTERM and is killed
		t.Errorf("exit code %d", code)
	}
	gone(t, model)
	a, err := w.bus.Attempts(w.ctx(), key, events.ShardStream(0), 1)
	if err != nil || a.Failures != 0 {
		t.Errorf("attempts %+v, error %v: a drain is nobody's failure", a, err)
	}
	if d := w.pullOne(); d.Request.Event.ID != "long" || d.Delivered != 2 {
		t.Errorf("delivery %+v", d)
	}
}

func TestUnknownOrdersAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	if err := w.bus.SendControl(w.ctx(), key, "r1", events.Control{Op: "dance"}); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("error %v", err)
	}
}

func TestServersThatDoNotCome(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain.txt")
	if err := os.WriteFile(plain, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, mode string
		command    []string
		code       int
		cause      string
		says       string
		serverCode int
	}{
		{"exits", "exit", nil, exitCrashed, events.CauseCrashed, "no CUDA-capable device", 42},
		{"never listens", "mute", nil, exitNeverReady, events.CauseNeverReady, "hello on stderr", 137},
		{"is not there", "", []string{"/no/such/server"}, exitSpawn, events.CauseSpawnFailed, "/no/such/server", 0},
		{"is not on the path", "", []string{"no-such-server-anywhere"}, exitSpawn, events.CauseSpawnFailed, "no-such-server-anywhere", 0},
		{"is no program", "", []string{plain}, exitSpawn, events.CauseSpawnFailed, "permission denied", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *functions.Spec) { s.Runtime.Ready.Timeout = functions.Duration(400 * time.Millisecond) })
			config := w.config("r1", c.mode)
			if c.command != nil {
				config.Command = c.command
			}
			p := w.start(config)
			if code := p.wait(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			last := p.last()
			if last.Phase != events.PhaseExited || last.Cause != c.cause || !strings.Contains(last.Message, c.says) {
				t.Errorf("status %+v, want cause %s and %q", last, c.cause, c.says)
			}
			if c.name == "exits" && last.ExitCode != c.serverCode {
				t.Errorf("server exit code %d, want %d", last.ExitCode, c.serverCode)
			}
			if last.Totals.ColdSec <= 0 || last.Totals.IdleSec != 0 || !last.Receipt.Ready.IsZero() {
				t.Errorf("totals %+v, receipt %+v", last.Totals, last.Receipt)
			}
		})
	}
}

func TestDrainWhileLoading(t *testing.T) {
	w := newWorld(t, nil)
	p := w.start(w.config("r1", "mute"))
	w.awaitPhase("r1", events.PhaseLoading)
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if last := p.last(); last.Cause != events.CauseDrained {
		t.Errorf("status %+v", last)
	}
}

func TestTheWholeTreeGoes(t *testing.T) {
	w := newWorld(t, nil)
	p := w.ready("r1", "family")
	tree := append(p.pids("family"), p.pids("pid")...)
	if len(tree) != 3 {
		t.Fatalf("tree %v", tree)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, pid := range tree { // nothing to wait for: an agent exits after its tree
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
			t.Errorf("process %d outlived the agent", pid)
		}
	}
}

func TestTreeOfACrashedServerGoes(t *testing.T) {
	w := newWorld(t, nil)
	p := w.ready("r1", "family")
	tree := p.pids("family")
	if err := syscall.Kill(p.pids("pid")[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != exitCrashed {
		t.Errorf("exit code %d", code)
	}
	for _, pid := range tree {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
			t.Errorf("process %d outlived the agent", pid)
		}
	}
	if last := p.last(); last.Cause != events.CauseCrashed || last.ExitCode != 137 || !strings.Contains(last.Message, "killed") {
		t.Errorf("status %+v", last)
	}
}

// TestKilledAgentTakesItsServerAlong kills agents at any moment of a load: their servers go
// with them, and every request still ends once.
func TestKilledAgentTakesItsServerAlong(t *testing.T) {
	w := newWorld(t, nil)
	p := w.ready("r1", "stubborn")
	model := p.pids("pid")[0]
	w.publish(functions.Standard, ask("q", wish{Do: "slow", Millis: 300}))
	p.note("began")
	p.signal(syscall.SIGKILL)
	p.wait()
	gone(t, model)
	w.ready("r2", "")
	if rec := w.record("q"); rec.Status != events.StatusOK || rec.Replica != "r2" { // after the ack wait
		t.Errorf("record %+v", rec)
	}
}

func TestServerGetsNoCredentials(t *testing.T) {
	w := newWorld(t, nil)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret-aws")
	c := w.config("r1", "")
	c.GPUs = []string{"GPU-1", "GPU-2"}
	c.Env = append(c.Env, "MODEL=tiny", "CUDA_VISIBLE_DEVICES=7")
	p := w.start(c)
	w.awaitPhase("r1", events.PhaseReady)
	environ := p.note("environ")
	for _, secret := range []string{"s3cret", configVar, "AWS_", "NATS", ".json"} {
		if strings.Contains(environ, secret) {
			t.Errorf("the server's environment has %q:\n%s", secret, environ)
		}
	}
	for _, want := range []string{"PORT=", "STOKER_REPLICA_ID=r1", "STOKER_FUNCTION=default/echo", "CUDA_VISIBLE_DEVICES=GPU-1,GPU-2", "MODEL=tiny", "PATH="} {
		if !strings.Contains(environ, want) {
			t.Errorf("the server's environment lacks %q:\n%s", want, environ)
		}
	}
	hb := w.awaitPhase("r1", events.PhaseReady)
	inherited, err := os.ReadFile("/proc/" + strconv.Itoa(hb.ServerPID) + "/environ")
	if err != nil || bytes.Contains(inherited, []byte("s3cret")) {
		t.Errorf("error %v, environment %q", err, inherited)
	}
	files, err := os.ReadDir("/proc/" + strconv.Itoa(hb.ServerPID) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, _ := os.Readlink("/proc/" + strconv.Itoa(hb.ServerPID) + "/fd/" + f.Name()); strings.HasSuffix(to, ".json") {
			t.Errorf("the server inherited %s", to)
		}
	}
}

func TestOutputIsLogged(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	await(t, "the log", func() error {
		data, err := os.ReadFile(filepath.Join(w.dir, "r1", "server.log"))
		if err == nil && (!bytes.Contains(data, []byte("hello on stdout")) || !bytes.Contains(data, []byte("hello on stderr"))) {
			return os.ErrNotExist
		}
		return err
	})
}

// TestOutlivesItsParent kills the process that started the agent.
func TestOutlivesItsParent(t *testing.T) {
	w := newWorld(t, nil)
	parent := w.startAs(w.config("r1", ""), roleParent)
	before := w.awaitPhase("r1", events.PhaseReady)
	parent.signal(syscall.SIGKILL)
	parent.wait()
	for range 3 { // heartbeats go on
		at := time.Now()
		w.awaitBeat("r1", "a later time", func(hb events.Heartbeat) bool { return hb.At.After(at) })
	}
	if got := w.collect(w.call(functions.Standard, ask("q", wish{}))); got.Status != events.StatusOK {
		t.Errorf("reply %+v", got)
	}
	if err := w.bus.SendControl(w.ctx(), key, "r1", events.Control{Op: events.OpDrain}); err != nil {
		t.Fatal(err)
	}
	w.awaitPhase("r1", events.PhaseExited)
	gone(t, before.PID)
	gone(t, before.ServerPID)
}

func TestBadConfigurations(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, text, says string }{
		{"not set", "", "not set"},
		{"not there", "", "no such file"},
		{"not JSON", "{", "unexpected end"},
		{"empty", "{}", "missing: key, replica, command, stream, nats.url"},
		{"half a rank", `{"key":{"namespace":"a","name":"b"},"replica":"r","command":["x"],"rank":{"noticeFile":"/n"},"nats":{"url":"x"}}`, "missing: rank.generation, rank.saveFile, rank.progressFile, rank.errorFile"},
		{"a rank beside an agent", `{"key":{"namespace":"a","name":"b"},"replica":"r","attach":true,"port":1,"rank":{"generation":1,"noticeFile":"/n","saveFile":"/s","progressFile":"/p","errorFile":"/e"},"nats":{"url":"x"}}`, "attach and rank are given"},
		{"bad port", `{"key":{"namespace":"a","name":"b"},"replica":"r","command":["x"],"stream":"S","nats":{"url":"x"},"port":70000}`, "port is 70000, allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.name)
			if c.name == "not set" {
				path = ""
			}
			if c.text != "" {
				if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), roleVar+"="+roleAgent, configVar+"="+path)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != exitConfig || !strings.Contains(string(out), c.says) || strings.Count(string(out), "\n") != 1 {
				t.Errorf("exit %v, output %q, want one line with %q", err, out, c.says)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if code := run([]string{"--version"}, &out, &out); code != exitOK || !strings.HasPrefix(out.String(), "stoker-agent ") {
		t.Errorf("code %d, output %q", code, out.String())
	}
}
