package local

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/providertest"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// platformVar makes the test binary a platform that starts one replica and waits to be killed.
const platformVar = "TEST_PLATFORM_DIR"

const patience = 60 * time.Second

// within waits until ok.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// status is what the provider says of a replica, zero if nothing.
func status(l *Local, id string) activities.ReplicaStatus {
	for _, s := range l.board.List() {
		if s.ID == id {
			return s
		}
	}
	return activities.ReplicaStatus{}
}

func awaitState(t *testing.T, l *Local, id string, want activities.RunState) activities.ReplicaStatus {
	t.Helper()
	within(t, id+" "+string(want), func() bool { return status(l, id).State == want })
	return status(l, id)
}

// spec is a replica with an ID that no other process of this machine has.
func spec(t testing.TB, b providertest.Behaviour) activities.ReplicaSpec {
	t.Helper()
	return activities.ReplicaSpec{
		ID: fmt.Sprintf("conformance-%d-%d", os.Getpid(), time.Now().UnixNano()), Revision: "r1",
		Key:  functions.Key{Namespace: "default", Name: "f"},
		Spec: functions.Spec{Runtime: behave(b)}, Lease: scale.Lease{Epoch: 3},
		Agent: events.AgentConfig{NATS: events.NATSAccess{URL: "nats://localhost:1", Token: "very-secret"}},
	}
}

// run starts a replica and waits until its whole tree is there.
func run(t *testing.T, l *Local, s activities.ReplicaSpec, processes int) activities.ReplicaStatus {
	t.Helper()
	if err := l.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	within(t, "the tree grows", func() bool { return len(living(t, s.ID)) >= processes && fileSize(l, s.ID) > 0 })
	return status(l, s.ID)
}

func fileSize(l *Local, id string) int64 {
	info, err := os.Stat(filepath.Join(l.o.Dir, id, serverLog))
	if err != nil {
		return 0
	}
	return info.Size()
}

// eachWay runs a test with trees found by scan, and by cgroup where one can be made.
func eachWay(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("Scan", func(t *testing.T) {
		o := options(t)
		o.NoCgroup = true
		test(t, o)
	})
	if findCgroups(slog.New(slog.DiscardHandler)) == nil {
		t.Log("not run with cgroups: none can be made here")
		return
	}
	t.Run("Cgroup", func(t *testing.T) { test(t, options(t)) })
}

func TestAKilledAgentTakesItsTreeAlong(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		l := open(t, o)
		s := spec(t, providertest.Daemonizes)
		before := run(t, l, s, 4)
		if err := unix.Kill(before.PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		gone := awaitState(t, l, s.ID, activities.RunGone)
		if left := living(t, s.ID); len(left) > 0 {
			t.Errorf("gone, and %v live", left)
		}
		if gone.Cause != events.CauseAgentLost || gone.ExitCode != 128+int(unix.SIGKILL) {
			t.Errorf("cause %q, exit code %d", gone.Cause, gone.ExitCode)
		}
		if err := l.Forget(t.Context(), s.ID); err != nil {
			t.Error(err)
		}
		settled(t, l)
	})
}

func TestAnAgentThatDiedMeanwhileIsCleanedUp(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		l := open(t, o)
		s := spec(t, providertest.Daemonizes)
		before := run(t, l, s, 4)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(before.PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		within(t, "the agent dies", func() bool { return !l.procs.alive(process{before.PID, l.replicas[s.ID].rec.Ticks}) })
		if left := living(t, s.ID); len(left) == 0 {
			t.Fatal("nothing outlived the agent: this test shows nothing")
		}
		l = open(t, o)
		if state := status(l, s.ID).State; state != activities.RunStopping && state != activities.RunGone {
			t.Errorf("found as %q", state)
		}
		awaitState(t, l, s.ID, activities.RunGone)
		if left := living(t, s.ID); len(left) > 0 {
			t.Errorf("gone, and %v live", left)
		}
	})
}

// TestAKilledPlatformLeavesItsReplicas kills a real one.
func TestAKilledPlatformLeavesItsReplicas(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		cmd := exec.Command(o.AgentBinary)
		cmd.Env = append(os.Environ(), platformVar+"="+o.Dir)
		if o.NoCgroup {
			cmd.Env = append(cmd.Env, platformVar+"_SCAN=1")
		}
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var before activities.ReplicaStatus
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &before)
		}
		if err != nil {
			t.Fatalf("the platform said %q, %v", line, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // "signal: killed"

		l := open(t, o)
		after := status(l, before.ID)
		if after.State != activities.RunRunning || after.PID != before.PID || !after.Started.Equal(before.Started) {
			t.Errorf("adopted as %+v, was %+v", after, before)
		}
		if after.Last == nil || after.Last.Phase != events.PhaseReady {
			t.Errorf("the agent's status was not adopted: %+v", after.Last)
		}
		if err := l.Stop(t.Context(), before.ID, patience); err != nil {
			t.Fatal(err)
		}
		if gone := awaitState(t, l, before.ID, activities.RunGone); gone.Cause != events.CauseDrained {
			t.Errorf("asked to go, it ended by %q: %s", gone.Cause, gone.Message)
		}
	})
}

func testPlatform(dir string) int {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	l, err := New(Options{Dir: dir, AgentBinary: self, NoCgroup: os.Getenv(platformVar+"_SCAN") != ""})
	if err != nil {
		panic(err)
	}
	s := activities.ReplicaSpec{
		ID: fmt.Sprintf("conformance-platform-%d", os.Getpid()), Revision: "r1", Lease: scale.Lease{Epoch: 1},
		Key: functions.Key{Namespace: "default", Name: "f"}, Spec: functions.Spec{Runtime: behave(providertest.Serves)},
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Start(ctx, s); err != nil {
		panic(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	for {
		var hb events.Heartbeat
		if readJSON(filepath.Join(dir, s.ID, statusFile), &hb) == nil && hb.Phase == events.PhaseReady {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			panic("the agent did not get ready")
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(status(l, s.ID)); err != nil {
		panic(err)
	}
	<-ctx.Done() // killed long before
	return 1
}

// TestAnAgentNotNotedInTimeIsRecognised is the kill between spawn and the note of its number.
func TestAnAgentNotNotedInTimeIsRecognised(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		l := open(t, o)
		s := spec(t, providertest.Serves)
		before := run(t, l, s, 2)
		l.Close()
		rec := readRecord(t, o, s.ID)
		rec.PID, rec.Ticks = 0, 0
		writeRecord(t, o, rec)
		l = open(t, o)
		if after := status(l, s.ID); after.PID != before.PID || after.State != activities.RunRunning {
			t.Errorf("adopted as %+v, was %+v", after, before)
		}
	})
}

// TestANumberThatCameRoundIsLeftAlone gives a replica the number of a process that is not its own.
func TestANumberThatCameRoundIsLeftAlone(t *testing.T) {
	o := options(t)
	o.NoCgroup = true
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = other.Process.Kill(), other.Wait() }()
	_, boot, err := openProcesses()
	if err != nil {
		t.Fatal(err)
	}
	for id, b := range map[string]string{"same-boot": boot, "other-boot": "another"} {
		writeRecord(t, o, record{ID: id, Begun: time.Now(), PID: other.Process.Pid, Ticks: 1, Boot: b, Epoch: 1})
	}
	l := open(t, o)
	for _, id := range []string{"same-boot", "other-boot"} {
		if s := awaitState(t, l, id, activities.RunGone); s.Cause != events.CauseAgentLost {
			t.Errorf("%s: cause %q", id, s.Cause)
		}
	}
	if s, err := l.procs.find(other.Process.Pid); err != nil || dead(s) {
		t.Error("a process that only has the number of a dead agent was killed")
	}
}

func TestADamagedRecordIsNotRunOn(t *testing.T) { eachWay(t, damagedRecord) }

func damagedRecord(t *testing.T, o Options) {
	l := open(t, o)
	s := spec(t, providertest.Serves)
	run(t, l, s, 2)
	l.Close()
	if err := os.WriteFile(filepath.Join(o.Dir, s.ID, runFile), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, o)
	gone := awaitState(t, l, s.ID, activities.RunGone)
	if left := living(t, s.ID); len(left) > 0 || gone.Key != s.Key {
		t.Errorf("processes %v live on; status %+v", left, gone)
	}
	if err := l.Forget(t.Context(), s.ID); err != nil {
		t.Error(err)
	}
	settled(t, l)
}

func TestAKillOutlivesThePlatform(t *testing.T) {
	o := options(t)
	l := open(t, o)
	s := spec(t, providertest.Deaf)
	run(t, l, s, 2)
	const grace = 5 * time.Second // the platform comes back within it
	asked := time.Now()
	if err := l.Stop(t.Context(), s.ID, grace); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, o)
	if st := status(l, s.ID).State; st != activities.RunStopping {
		t.Errorf("adopted as %s", st)
	}
	gone := awaitState(t, l, s.ID, activities.RunGone)
	if took := gone.Ended.Sub(asked); took < grace || gone.Cause != events.CauseKilled {
		t.Errorf("gone after %v by %q", took, gone.Cause)
	}
}

// TestARequestToGoOutlivesThePlatform is of a platform that died after it had noted that a replica is to go and before
// it had told the agent: the next one tells it, instead of killing it at the end of its grace.
func TestARequestToGoOutlivesThePlatform(t *testing.T) {
	o := options(t)
	l := open(t, o)
	s := spec(t, providertest.Serves)
	run(t, l, s, 2)
	l.Close()
	rec := readRecord(t, o, s.ID)
	rec.Stopped, rec.KillAt = true, time.Now().Add(10*patience)
	writeRecord(t, o, rec)
	l = open(t, o)
	if gone := awaitState(t, l, s.ID, activities.RunGone); gone.Cause != events.CauseDrained {
		t.Errorf("gone by %q, want %q", gone.Cause, events.CauseDrained)
	}
}

// TestAnEscapeeIsKilledWithItsTree is a process without session, environment and parent of its
// tree: only the agent, to which it fell, or the cgroup leads to it.
func TestAnEscapeeIsKilledWithItsTree(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		l := open(t, o)
		s := spec(t, providertest.Serves)
		pidFile := filepath.Join(t.TempDir(), "pid")
		script := fmt.Sprintf("(env -i setsid sh -c 'echo $$ > %s.tmp; mv %s.tmp %s; exec sleep 1000' &) ; echo up; exec sleep 1000", pidFile, pidFile, pidFile)
		s.Spec.Runtime.Local = &functions.Local{Command: []string{"sh", "-c", script}}
		run(t, l, s, 2)
		var pid int
		within(t, "the escapee says its number", func() bool {
			text, err := os.ReadFile(pidFile)
			if err == nil {
				_, err = fmt.Sscan(string(text), &pid)
			}
			return err == nil
		})
		if slices.Contains(living(t, s.ID), pid) {
			t.Fatal("it carries the marker: this test shows nothing")
		}
		if err := l.Stop(t.Context(), s.ID, 0); err != nil {
			t.Fatal(err)
		}
		awaitState(t, l, s.ID, activities.RunGone)
		if st, err := l.procs.find(pid); err == nil && !dead(st) {
			t.Errorf("it lives on; killed now: %v", unix.Kill(pid, unix.SIGKILL))
		}
	})
}

// TestNotKnowingIsNotGone keeps a replica stopping while its processes cannot be seen.
func TestNotKnowingIsNotGone(t *testing.T) {
	o := options(t)
	o.NoCgroup = true
	l := open(t, o)
	s := spec(t, providertest.Serves)
	run(t, l, s, 2)
	blind := t.TempDir()
	if err := os.Mkdir(filepath.Join(blind, "cgroup.procs"), 0o700); err != nil { // reading it fails
		t.Fatal(err)
	}
	r, err := l.take(s.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	r.rec.Cgroup = blind
	pid := r.rec.PID
	r.mu.Unlock()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, "what is wrong is told", func() bool { return status(l, s.ID).Message != "" })
	if st := status(l, s.ID).State; st != activities.RunStopping {
		t.Errorf("nobody can see whether it lives, and it is %s", st)
	}
	if err := os.Remove(filepath.Join(blind, "cgroup.procs")); err != nil { // no such cgroup: empty
		t.Fatal(err)
	}
	awaitState(t, l, s.ID, activities.RunGone)
}

func readRecord(t *testing.T, o Options, id string) record {
	t.Helper()
	var rec record
	if err := readJSON(filepath.Join(o.Dir, id, runFile), &rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func writeRecord(t *testing.T, o Options, rec record) {
	t.Helper()
	r := replica{dir: filepath.Join(o.Dir, rec.ID), rec: rec}
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
}
