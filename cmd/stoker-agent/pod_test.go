package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/rank"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// podConfig is what the Kubernetes provider writes for rank 0 of two, whose program is a command.
func (w *world) podConfig(replica string, resume functions.Resume, command ...string) (events.AgentConfig, contract.Place) {
	w.t.Helper()
	c := w.rankConfig(replica, "")
	c.Command, c.Env, c.Rank.Rank = command, nil, 0
	c.LogFile = ""
	place := contract.Place{
		Job: functions.Key{Namespace: "default", Name: "llama"}, Attempt: 1, Generation: generation, Addresses: []string{"?", "?"}, Port: 29500,
		Dir: filepath.Dir(c.Rank.NoticeFile), CheckpointDir: filepath.Join(w.dir, replica+"-volume", "checkpoints"),
		Spec: functions.JobSpec{Framework: functions.FrameworkTorch, Checkpoint: functions.Checkpoint{Resume: resume, Keep: 1}},
	}
	data, err := json.Marshal(place)
	if err != nil {
		w.t.Fatal(err)
	}
	c.Rank.Place = data
	return c, place
}

// TestARankInAPodHearsAtTheBarrierWhoTheOthersAre asks it what is to be resumed, opens the barrier with addresses, and
// reads what the program was given.
func TestARankInAPodHearsAtTheBarrierWhoTheOthersAre(t *testing.T) {
	t.Setenv("OF_THE_IMAGE", "kept")
	w := newWorld(t, nil)
	c, place := w.podConfig("r1", functions.ResumeAuto, "sh", "-c",
		`echo $(NODE_RANK) $$HOME '$(NOBODY)' > args; env > environ.tmp; mv environ.tmp environ
		echo "committed step=9 path=$CHECKPOINT_DIR/step-9" >> "$PROGRESS_FILE"
		while [ -e "$CHECKPOINT_DIR/step-3" ]; do sleep 0.02; done; exit 7`)
	for _, name := range []string{"step-3", "step-9"} {
		dir := filepath.Join(place.CheckpointDir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, contract.Marker), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := w.start(c)
	w.awaitPhase("r1", events.PhaseLoading)
	from, err := w.bus.Ask(w.ctx(), rankKey, "r1", events.Control{Op: events.OpFind, Generation: generation})
	if err != nil || from != filepath.Join(place.CheckpointDir, "step-9") {
		t.Fatalf("it would begin with %q, %v", from, err)
	}
	if err := w.order("r1", events.Control{Op: events.OpOpen}); err == nil {
		t.Error("the barrier opened without saying where the others are")
	}
	w.mustOrder("r1", events.Control{Op: events.OpOpen, Opening: &events.Opening{Addresses: []string{"10.0.0.7", "10.0.0.8"}, ResumeFrom: from}})
	environ := strings.Split(p.note("environ"), "\n")
	for _, want := range []string{"MASTER_ADDR=10.0.0.7", "WORLD_SIZE=2", "RESUME_FROM=" + from, "CHECKPOINT_DIR=" + place.CheckpointDir, "OF_THE_IMAGE=kept"} {
		if !slices.Contains(environ, want) {
			t.Errorf("the environment lacks %s:\n%s", want, environ)
		}
	}
	if slices.ContainsFunc(environ, func(kv string) bool { return strings.HasPrefix(kv, "CUDA_VISIBLE_DEVICES=") }) {
		t.Error("the device plugin gave the container its GPUs, and the agent took them away")
	}
	if got, want := strings.TrimSpace(p.note("args")), "0 "+os.Getenv("HOME")+" $(NOBODY)"; got != want {
		t.Errorf("the command's variables came to %q, want %q", got, want)
	}
	if code := p.wait(); code != 7 {
		t.Errorf("the container exits with %d, want the program's 7", code)
	}
}

// TestARankInAPodThatCannotBegin ends with the reason, before anybody waits for it at the barrier.
func TestARankInAPodThatCannotBegin(t *testing.T) {
	w := newWorld(t, nil)
	nothing, _ := w.podConfig("r1", functions.ResumeMust, "true")
	unwritable, place := w.podConfig("r2", functions.ResumeAuto, "true")
	if err := os.MkdirAll(filepath.Dir(place.CheckpointDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place.CheckpointDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]events.AgentConfig{"no committed checkpoint": nothing, "checkpoint directory": unwritable} {
		p := w.start(c)
		if code := p.wait(); code != exitSpawn {
			t.Errorf("%s: exit code %d", want, code)
		}
		if end := p.last().Rank.End; end == nil || !strings.Contains(end.Refused, want) {
			t.Errorf("want %q, got %+v", want, end)
		}
	}
}

// TestATerminationMessageFits: a kubelet cuts it, and half a JSON document says nothing.
func TestATerminationMessageFits(t *testing.T) {
	hb := events.Heartbeat{Replica: "r1", Phase: events.PhaseExited, Message: strings.Repeat("line\n", 2000), Rank: &events.Rank{
		Generation: 1, Step: 12, End: &events.RankEnd{ExitCode: 3, Output: strings.Repeat("a\x01\n", 2000), Error: []byte(strings.Repeat("e", 10_000))},
	}}
	path := filepath.Join(t.TempDir(), "termination-log")
	if err := writeTermination(path, hb); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	var got events.Heartbeat
	if err != nil || len(data) > maxTermination || json.Unmarshal(data, &got) != nil {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	if got.Rank.Step != 12 || got.Rank.End.ExitCode != 3 {
		t.Errorf("the end is lost: %+v", got.Rank)
	}
	if len(hb.Rank.End.Error) == 0 || hb.Message == "" {
		t.Error("what others look at was shortened, too")
	}
}

func TestTheAgentInstallsItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	if err := install(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.Stat(path)
	self, serr := os.Stat("/proc/self/exe")
	if err != nil || serr != nil || got.Size() != self.Size() || got.Mode().Perm()&0o111 != 0o111 {
		t.Errorf("%+v, %v, %v", got, err, serr)
	}
	if err := install(filepath.Join(path, "below")); err == nil {
		t.Error("installed below a file")
	}
}

// An attempt that begins from nothing commits steps below those that an earlier one has left.
func TestARankInAPodKeepsWhatItHasJustCommitted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"step-100", "step-9500", "step-10000"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, contract.Marker), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := events.RankConfig{Generation: generation, Place: json.RawMessage("{}")}
	a := &agent{c: events.AgentConfig{Rank: &c}, rank: rank.NewProgress(c), log: slog.New(slog.DiscardHandler)}
	a.pod.place = contract.Place{CheckpointDir: dir, Spec: functions.JobSpec{Checkpoint: functions.Checkpoint{Resume: functions.ResumeNever, Keep: 1}}}
	a.rank.Line([]byte("committed step=100 path="+filepath.Join(dir, "step-100")), time.Now())
	a.clearOld()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for a.pod.clearing.Load() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it clears without end")
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "step-100")); err != nil {
		t.Errorf("what it has just committed is gone: %v", err)
	}
}
