package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// rankKey is what the ranks of the tests' job go by.
var rankKey = events.RankKey(functions.Key{Namespace: "default", Name: "llama"})

// generation is that of the tests' gang.
const generation = 7

// rankConfig is what a provider writes for a rank whose program is a shell script, which finds the
// files of the contract in its environment and notes what a test wants to know in its directory.
func (w *world) rankConfig(replica, script string) events.AgentConfig {
	w.t.Helper()
	c := w.config(replica, "")
	dir := c.WorkingDir
	c.Key, c.Stream, c.Command = rankKey, "", []string{"sh", "-c", script}
	c.Rank = &events.RankConfig{
		Generation: generation, Rank: 1,
		NoticeFile: filepath.Join(dir, contract.NoticeFile), SaveFile: filepath.Join(dir, contract.SaveFile),
		ProgressFile: filepath.Join(dir, contract.ProgressFile), ErrorFile: filepath.Join(dir, contract.ErrorFile),
	}
	c.Env = []string{
		"PREEMPT_FILE=" + c.Rank.NoticeFile, "SAVE_FILE=" + c.Rank.SaveFile,
		"PROGRESS_FILE=" + c.Rank.ProgressFile, "TORCHELASTIC_ERROR_FILE=" + c.Rank.ErrorFile,
	}
	return c
}

func (w *world) order(replica string, c events.Control) error {
	w.t.Helper()
	if c.Generation == 0 {
		c.Generation = generation
	}
	return w.bus.SendControl(w.ctx(), rankKey, replica, c)
}

func (w *world) mustOrder(replica string, c events.Control) {
	w.t.Helper()
	if err := w.order(replica, c); err != nil {
		w.t.Fatal(err)
	}
}

// trains starts a rank and opens its barrier.
func (w *world) trains(c events.AgentConfig) *process {
	w.t.Helper()
	p := w.start(c)
	w.awaitPhase(c.Replica, events.PhaseLoading)
	w.mustOrder(c.Replica, events.Control{Op: events.OpOpen})
	return p
}

// ended waits for the agent's exit and returns what it said last.
func (p *process) ended(code int) events.Heartbeat {
	p.t.Helper()
	if got := p.wait(); got != code {
		p.t.Errorf("exit code of the agent %d, want %d", got, code)
	}
	last := p.last()
	if last.Phase != events.PhaseExited || last.Rank == nil || last.Rank.End == nil {
		p.t.Fatalf("last status %+v, rank %+v", last, last.Rank)
	}
	if last.Rank.Generation != generation || last.Rank.Rank != 1 {
		p.t.Errorf("it is rank %d of generation %d", last.Rank.Rank, last.Rank.Generation)
	}
	return last
}

// untilTold is a program that reports each step, and does as the contract says when it is told to go.
const untilTold = `trap 'echo got TERM; [ -s "$PREEMPT_FILE" ] && cat "$PREEMPT_FILE" > told; exit 75' TERM
echo $$ > pid.tmp; mv pid.tmp pid
while :; do sleep 0.02; done`

func TestTheProgramStartsBehindTheBarrier(t *testing.T) {
	w := newWorld(t, nil)
	p := w.start(w.rankConfig("r1", "env > environ.tmp; mv environ.tmp environ; exit 0"))
	at := w.awaitPhase("r1", events.PhaseLoading).At
	w.awaitBeat("r1", "a second of waiting", func(hb events.Heartbeat) bool { return hb.At.Sub(at) > time.Second })
	if _, err := os.Stat(filepath.Join(p.model, "environ")); err == nil {
		t.Fatal("the program ran before the barrier was open")
	}
	for range 2 {
		w.mustOrder("r1", events.Control{Op: events.OpOpen})
	}
	last := p.ended(exitOK)
	if e := last.Rank.End; last.Cause != "" || e.ExitCode != 0 || e.ByUs || e.At.Before(last.Rank.Started) || last.Rank.Started.IsZero() {
		t.Errorf("cause %q, started %v, end %+v", last.Cause, last.Rank.Started, e)
	}
	environ := p.note("environ")
	for _, want := range []string{"PREEMPT_FILE=", "PATH=", "STOKER_REPLICA_ID=r1", "CUDA_VISIBLE_DEVICES="} {
		if !strings.Contains(environ, want) {
			t.Errorf("the environment lacks %s:\n%s", want, environ)
		}
	}
	for _, bad := range []string{"\nPORT=", "STOKER_FUNCTION", "s3cret"} {
		if strings.Contains(environ, bad) {
			t.Errorf("the environment has %s:\n%s", bad, environ)
		}
	}
}

func TestARankToldToGoBeforeTheBarrierNeverStarts(t *testing.T) {
	for _, how := range []string{"order", "signal"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, nil)
			p := w.start(w.rankConfig("r1", "touch ran"))
			w.awaitPhase("r1", events.PhaseLoading)
			if how == "signal" {
				p.signal(syscall.SIGTERM)
			} else {
				w.mustOrder("r1", events.Control{Op: events.OpNotice, GraceSeconds: 30, Cause: "recalled"})
			}
			last := p.ended(exitOK)
			if last.Cause != events.CauseDrained || !last.Rank.End.ByUs || last.Rank.NoticedAt.IsZero() || !last.Rank.Started.IsZero() {
				t.Errorf("last %+v, rank %+v, end %+v", last, last.Rank, last.Rank.End)
			}
			if _, err := os.Stat(filepath.Join(p.model, "ran")); err == nil {
				t.Error("the program was started")
			}
		})
	}
}

func TestANoticeIsAFileAndThenASignal(t *testing.T) {
	for _, how := range []struct{ name, reason string }{{"order", "recalled"}, {"signal", "preempted"}} {
		t.Run(how.name, func(t *testing.T) {
			w := newWorld(t, nil)
			p := w.trains(w.rankConfig("r1", untilTold))
			p.note("pid")
			if how.name == "signal" {
				p.signal(syscall.SIGTERM)
			} else {
				w.mustOrder("r1", events.Control{Op: events.OpNotice, GraceSeconds: 5, Cause: "recalled"})
			}
			last := p.ended(exitOK)
			e := last.Rank.End
			if last.Cause != events.CauseDrained || last.ExitCode != 75 || e.ExitCode != 75 || e.Signal != 0 || !e.ByUs || !strings.Contains(e.Output, "got TERM") {
				t.Errorf("cause %q, end %+v", last.Cause, e)
			}
			var n contract.Notice
			if err := json.Unmarshal([]byte(p.note("told")), &n); err != nil {
				t.Fatal(err)
			}
			if want := last.Rank.NoticedAt.Add(5 * time.Second); string(n.Reason) != how.reason || n.Seconds != 5 || n.Deadline.Sub(want).Abs() > time.Millisecond {
				t.Errorf("notice %+v, told at %v", n, last.Rank.NoticedAt)
			}
		})
	}
}

// TestOnlyTheMainProcessIsAsked has a child that would die of SIGTERM and takes a checkpoint after it.
func TestOnlyTheMainProcessIsAsked(t *testing.T) {
	w := newWorld(t, nil)
	p := w.trains(w.rankConfig("r1", `(while [ ! -e "$PREEMPT_FILE" ]; do sleep 0.02; done; sleep 0.3; echo saved > saved) &
child=$!; trap 'wait $child; exit 75' TERM; echo $$ > pid.tmp; mv pid.tmp pid; wait $child; exit 75`))
	p.note("pid")
	w.mustOrder("r1", events.Control{Op: events.OpNotice, GraceSeconds: 30, Cause: "preempted"})
	w.awaitPhase("r1", events.PhaseDraining)
	if e := p.ended(exitOK).Rank.End; e.ExitCode != 75 {
		t.Errorf("end %+v", e)
	}
	if p.note("saved") != "saved\n" {
		t.Error("the child was asked, too")
	}
}

// TestWhoIgnoresTheNoticeIsKilledAtTheDeadline shortens the grace, which another notice and a signal do not make longer.
func TestWhoIgnoresTheNoticeIsKilledAtTheDeadline(t *testing.T) {
	w := newWorld(t, nil)
	p := w.trains(w.rankConfig("r1", `trap 'echo TERM >> asked' TERM
setsid sh -c 'trap "" TERM; echo $$ > child.tmp; mv child.tmp child; sleep 1000' &
while :; do sleep 0.02; done`))
	child := p.pids("child")[0]
	w.mustOrder("r1", events.Control{Op: events.OpNotice, GraceSeconds: 3000, Cause: "preempted"})
	p.note("asked")
	w.mustOrder("r1", events.Control{Op: events.OpNotice, GraceSeconds: 0.5, Cause: "recalled"})
	w.mustOrder("r1", events.Control{Op: events.OpNotice, GraceSeconds: 2000, Cause: "preempted"})
	p.signal(syscall.SIGTERM)
	last := p.ended(exitOK)
	if e := last.Rank.End; last.Cause != events.CauseDrained || e.Signal != int(syscall.SIGKILL) || e.ExitCode != 137 || !e.ByUs || e.OOMKills != 0 {
		t.Errorf("cause %q, end %+v", last.Cause, e)
	}
	if _, err := os.Stat("/proc/" + p.note("child")[:len(p.note("child"))-1]); err == nil {
		t.Errorf("process %d outlived the rank", child)
	}
	if asked := p.note("asked"); asked != "TERM\n" {
		t.Errorf("it was asked %q", asked)
	}
	var n contract.Notice
	if err := json.Unmarshal([]byte(p.note(contract.NoticeFile)), &n); err != nil || n.Reason != "recalled" || n.Seconds != 0 {
		t.Errorf("notice %+v, %v", n, err)
	}
}

func TestHowARankEnds(t *testing.T) {
	const words = `{"message": {"message": "ValueError: bad batch, token s3cret-hub"}}`
	for _, c := range []struct {
		name, script string
		cause        string
		want         events.RankEnd // Output and Error: what is in them
	}{
		{"well", "echo done", "", events.RankEnd{Output: "done"}},
		{"with a code", "echo boom >&2; exit 3", events.CauseCrashed, events.RankEnd{ExitCode: 3, Output: "boom"}},
		{"by a signal", "kill -SEGV $$", events.CauseCrashed, events.RankEnd{ExitCode: 139, Signal: int(syscall.SIGSEGV)}},
		{"with last words", "echo '" + words + `' > "$TORCHELASTIC_ERROR_FILE"; exit 1`, events.CauseCrashed, events.RankEnd{ExitCode: 1, Error: []byte("bad batch, token (hidden)")}},
		{"with a pipe for its last words", `mkfifo "$TORCHELASTIC_ERROR_FILE" "$PROGRESS_FILE"; sleep 0.5; exit 1`, events.CauseCrashed, events.RankEnd{ExitCode: 1}},
		{"before its children", "setsid sleep 1000 & echo $! > child; exit 0", "", events.RankEnd{}},
		{"after far more output than is kept", "yes $(printf '%0200d' 0) | head -c 300000000; echo; echo over; exit 4", events.CauseCrashed, events.RankEnd{ExitCode: 4, Output: "over"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			config := w.rankConfig("r1", c.script)
			config.Env, config.Secrets = append(config.Env, "HF_TOKEN=s3cret-hub"), []string{"HF_TOKEN"}
			p := w.trains(config)
			last := p.ended(exitOK)
			e := last.Rank.End
			if last.Cause != c.cause || last.ExitCode != c.want.ExitCode || e.ExitCode != c.want.ExitCode || e.Signal != c.want.Signal || e.ByUs || e.Refused != "" {
				t.Errorf("cause %q, end %+v, want %q and %+v", last.Cause, e, c.cause, c.want)
			}
			if !strings.Contains(e.Output, c.want.Output) || !bytes.Contains(e.Error, c.want.Error) {
				t.Errorf("output %q, error %q, want %q and %q", e.Output, e.Error, c.want.Output, c.want.Error)
			}
			if child, err := os.ReadFile(filepath.Join(p.model, "child")); err == nil {
				if _, err := os.Stat("/proc/" + strings.TrimSpace(string(child))); err == nil {
					t.Errorf("child %s outlived the rank", child)
				}
			}
			logs, err := filepath.Glob(filepath.Join(p.model, "server*.log"))
			if err != nil || len(logs) > 1+3 {
				t.Errorf("logs %v, %v", logs, err)
			}
		})
	}
}

func TestAProgramThatCannotBeStarted(t *testing.T) {
	w := newWorld(t, nil)
	config := w.rankConfig("r1", "")
	config.Command = []string{"/no/such/program"}
	last := w.trains(config).ended(exitSpawn)
	if last.Cause != events.CauseSpawnFailed || !strings.Contains(last.Rank.End.Refused, "/no/such/program") {
		t.Errorf("cause %q, end %+v", last.Cause, last.Rank.End)
	}
}

func TestReportsAreTold(t *testing.T) {
	w := newWorld(t, nil)
	p := w.trains(w.rankConfig("r1", `say() { printf "$1" >> "$PROGRESS_FILE"; }
next() { while [ ! -e "go$1" ]; do sleep 0.01; done; }
say 'progress step=1 loss=2.5 percent=10 eta=90\nprogress st'; next 1
say 'ep=2 loss=nan\nsaving step=2\nhello\n'; next 2
say 'committed step=2 path=/ckpt/step-2\n'; next 3
say 'progress step=3 percent=100\nprogress step=4'`))
	next := func(n string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(p.model, "go"+n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rank := w.awaitBeat("r1", "step 1", func(hb events.Heartbeat) bool { return hb.Rank.Step == 1 }).Rank
	if rank.Loss == nil || *rank.Loss != 2.5 || rank.Percent != 10 || rank.ETASec != 90 || rank.ReportedAt.IsZero() || rank.Unread != 0 {
		t.Errorf("rank %+v", rank)
	}
	next("1")
	rank = w.awaitBeat("r1", "step 2", func(hb events.Heartbeat) bool { return hb.Rank.Step == 2 && hb.Rank.Saving }).Rank
	if rank.Loss != nil || !rank.Diverged || rank.Percent != 10 || rank.Saved != nil || rank.Unread != 1 {
		t.Errorf("rank %+v", rank)
	}
	next("2")
	rank = w.awaitBeat("r1", "a checkpoint", func(hb events.Heartbeat) bool { return hb.Rank.Saved != nil }).Rank
	if rank.Saving || rank.Saved.Path != "/ckpt/step-2" || rank.Saved.Step != 2 || rank.Saved.At.IsZero() {
		t.Errorf("rank %+v, saved %+v", rank, rank.Saved)
	}
	next("3")
	last := p.ended(exitOK)
	if last.Rank.Step != 3 || last.Rank.Percent != 100 || last.Rank.Saved == nil || last.Totals.UsefulSec <= 0 || last.Totals.IdleSec != 0 || last.Slots != 0 {
		t.Errorf("last %+v, rank %+v", last, last.Rank)
	}
}

func TestACheckpointIsAskedForByAFile(t *testing.T) {
	w := newWorld(t, nil)
	p := w.start(w.rankConfig("r1", `n=0; touch up; while [ $n -lt 2 ]; do
[ -e "$SAVE_FILE" ] && { rm "$SAVE_FILE"; n=$((n+1)); echo "committed step=$n path=/ckpt/step-$n" >> "$PROGRESS_FILE"; }
sleep 0.01; done`))
	w.awaitPhase("r1", events.PhaseLoading)
	if err := w.order("r1", events.Control{Op: events.OpSave}); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("before the barrier: %v", err)
	}
	w.mustOrder("r1", events.Control{Op: events.OpOpen})
	p.note("up")
	w.mustOrder("r1", events.Control{Op: events.OpSave})
	w.awaitBeat("r1", "the first checkpoint", func(hb events.Heartbeat) bool { return hb.Rank.Saved != nil })
	w.mustOrder("r1", events.Control{Op: events.OpSave})
	if last := p.ended(exitOK); last.Rank.Saved == nil || last.Rank.Saved.Step != 2 {
		t.Errorf("rank %+v", last.Rank)
	}
}

func TestOrdersForAnotherGangAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	p := w.start(w.rankConfig("r1", untilTold))
	w.awaitPhase("r1", events.PhaseLoading)
	for _, c := range []events.Control{
		{Op: events.OpOpen, Generation: generation - 1},
		{Op: events.OpNotice, Generation: generation + 1},
		{Op: events.OpDrain, Generation: generation},
	} {
		if err := w.order("r1", c); err == nil || !strings.Contains(err.Error(), c.Op) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	w.mustOrder("r1", events.Control{Op: events.OpOpen})
	p.note("pid")
	for _, c := range []events.Control{{Op: events.OpNotice, Generation: generation + 1}, {Op: events.OpSave, Generation: generation - 1}} {
		if err := w.order("r1", c); err == nil || !strings.Contains(err.Error(), "generation") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if hb := w.awaitPhase("r1", events.PhaseReady); !hb.Rank.NoticedAt.IsZero() {
		t.Errorf("rank %+v", hb.Rank)
	}
}

// TestATrainingGoesOnWithoutTheBroker stops the broker and starts it again: same process, later steps.
func TestATrainingGoesOnWithoutTheBroker(t *testing.T) {
	w := newWorld(t, nil) // its own broker is not used any more
	begin := w.ownBroker()
	s := begin()
	c := w.rankConfig("r1", `n=0; trap 'exit 75' TERM; while :; do n=$((n+1)); echo "progress step=$n" >> "$PROGRESS_FILE"; sleep 0.05; done`)
	p := w.trains(c)
	before := w.awaitBeat("r1", "a step", func(hb events.Heartbeat) bool { return hb.Rank.Step > 0 })
	s.Shutdown()
	s.WaitForShutdown()
	step := before.Rank.Step
	await(t, "steps without a broker", func() error {
		data, err := os.ReadFile(c.Rank.ProgressFile)
		if err == nil && int64(bytes.Count(data, []byte("\n"))) < step+10 {
			err = os.ErrDeadlineExceeded
		}
		return err
	})
	begin()
	after := w.awaitBeat("r1", "later steps", func(hb events.Heartbeat) bool { return hb.Rank.Step > step+5 })
	if after.ServerPID != before.ServerPID || after.PID != before.PID {
		t.Errorf("processes %d and %d became %d and %d", before.PID, before.ServerPID, after.PID, after.ServerPID)
	}
	w.mustOrder("r1", events.Control{Op: events.OpNotice, GraceSeconds: 5, Cause: "paused"})
	if e := p.ended(exitOK).Rank.End; e.ExitCode != 75 {
		t.Errorf("end %+v", e)
	}
}
