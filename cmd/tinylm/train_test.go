package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stoker.dev/stoker/cmd/tinylm/checkpoint"
	"stoker.dev/stoker/cmd/tinylm/progress"
	"stoker.dev/stoker/scale/job/contract"
)

// tiny flags keep a step below a millisecond, with the race detector a few.
var tiny = []string{"--context", "8", "--embed", "4", "--hidden", "16", "--batch", "16", "--learning-rate", "0.02"}

// tinylm runs a command in this process.
func tinylm(t *testing.T, ctx context.Context, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs, func(key string) string { return env[key] })
	return code, out.String(), errs.String()
}

// trainTiny trains for some steps and gives what --json says.
func trainTiny(t *testing.T, env map[string]string, args ...string) trainResult {
	t.Helper()
	code, stdout, stderr := tinylm(t, t.Context(), env, append([]string{"train", "--json"}, args...)...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var res trainResult
	if err := json.Unmarshal([]byte(stdout), &res); err != nil {
		t.Fatalf("standard output is not one JSON object: %v\n%s", err, stdout)
	}
	return res
}

func TestTrainLowersTheLoss(t *testing.T) {
	res := trainTiny(t, nil, append(tiny, "--steps", "250", "--out", t.TempDir())...)
	if res.LossFirst < 3.6 || res.LossFirst > 4.4 {
		t.Errorf("first loss %.2f, want about ln(53) = 3.97", res.LossFirst)
	}
	if res.LossLast > res.LossFirst-1 {
		t.Errorf("last loss %.2f, first %.2f: want it to fall by 1 at least", res.LossLast, res.LossFirst)
	}
	if c, err := checkpoint.Open(res.Checkpoint); err != nil || c.Step != 250 || res.Steps != 250 {
		t.Errorf("checkpoint %+v (%v) after %d steps, want step 250", c, err, res.Steps)
	}
}

func TestTrainSpeaksTheLineProtocol(t *testing.T) {
	code, stdout, stderr := tinylm(t, t.Context(), nil,
		append(append([]string{"train"}, tiny...), "--steps", "20", "--checkpoint-every", "8", "--out", t.TempDir())...)
	if code != exitOK {
		t.Fatal(stderr)
	}
	var words []string
	var last progress.Line
	for line := range strings.Lines(stdout) {
		word, _, _ := strings.Cut(line, " ")
		words = append(words, word)
		if l, err := progress.Parse(line); err == nil {
			last = l
		}
	}
	if want := "started progress saving committed saving committed saving committed progress done"; strings.Join(words, " ") != want {
		t.Errorf("lines %v, want %s:\n%s", words, want, stdout)
	}
	if last.Step != 20 || last.Steps != 20 || last.Percent() != 100 || last.ETA != 0 {
		t.Errorf("last progress %+v, want 20 of 20 and nothing left", last)
	}
}

func TestResumeGoesOnWhereItStopped(t *testing.T) {
	whole := trainTiny(t, nil, append(tiny, "--steps", "40", "--seed", "5", "--out", t.TempDir())...)

	root := t.TempDir()
	env := map[string]string{"CHECKPOINT_DIR": root, "RESUME_FROM": "auto"}
	half := trainTiny(t, env, append(tiny, "--steps", "40", "--seed", "5", "--checkpoint-every", "25")...)
	if half.ResumedFrom != 0 || half.LossLast != whole.LossLast {
		t.Fatalf("auto with nothing to resume: %+v, want a training from the start like %+v", half, whole)
	}
	// Take the finished checkpoint's commit away: step 25 is the newest again.
	if err := os.Remove(filepath.Join(half.Checkpoint, "COMMITTED")); err != nil {
		t.Fatal(err)
	}
	rest := trainTiny(t, env)
	if rest.ResumedFrom != 25 || rest.Steps != 40 {
		t.Fatalf("resumed %+v, want from 25 to 40: a checkpoint without its commit must be ignored", rest)
	}
	if rest.LossFirst >= whole.LossFirst {
		t.Errorf("the loss starts at %.3f after the resume, at %.3f without one: the weights were lost", rest.LossFirst, whole.LossFirst)
	}
	again := trainTiny(t, env)
	if again.ResumedFrom != 40 || again.Checkpoint != rest.Checkpoint {
		t.Errorf("resuming a finished training: %+v, want nothing to do", again)
	}
}

func TestTrainRefuses(t *testing.T) {
	root := t.TempDir()
	done := trainTiny(t, nil, append(tiny, "--steps", "3", "--out", root)...)
	text := filepath.Join(t.TempDir(), "other.txt")
	if err := os.WriteFile(text, []byte("another text"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no out":         {nil, exitUsage, "--out"},
		"unknown flag":   {[]string{"--fast"}, exitUsage, "--fast"},
		"argument":       {[]string{"model"}, exitUsage, "model"},
		"no steps":       {[]string{"--out", root, "--steps", "0"}, exitUsage, "steps is 0"},
		"no text":        {[]string{"--out", root, "--text", "/nowhere"}, exitUsage, "/nowhere"},
		"empty text":     {[]string{"--out", root, "--text", file}, exitUsage, "characters"},
		"other text":     {[]string{"--out", root, "--resume", "auto", "--text", text}, exitUsage, "--text"},
		"other shape":    {[]string{"--out", root, "--resume", done.Checkpoint, "--hidden", "7"}, exitUsage, "--hidden"},
		"nothing there":  {[]string{"--out", root, "--resume", "/nowhere"}, exitFailed, "no committed checkpoint"},
		"out is a file":  {append(tiny, "--out", file, "--steps", "1"), exitFailed, file},
		"no reports":     {[]string{"--out", root, "--report-file", "/nowhere/progress"}, exitFailed, "/nowhere/progress"},
		"no checkpoints": {[]string{"--out", root, "--checkpoint-every", "0"}, exitUsage, "--checkpoint-every"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := tinylm(t, t.Context(), nil, append([]string{"train"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, want %d with %q in: %s", code, c.code, c.says, stderr)
			}
		})
	}
}

func TestSignalCommitsACheckpointAndExits75(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			p := start(t, []string{"CHECKPOINT_DIR=" + root}, append([]string{"train", "--steps", "1000000", "--checkpoint-every", "1000000"}, tiny...)...)
			p.line("progress")
			p.signal(sig)
			p.exit(exitInterrupted)
			if !strings.Contains(p.stderr.String(), "--resume auto") {
				t.Errorf("no hint how to go on: %s", p.stderr)
			}
			c, err := checkpoint.Open(root)
			if err != nil || c.Step == 0 {
				t.Fatalf("checkpoint %+v, %v; want a committed one", c, err)
			}
			res := trainTiny(t, nil, "--out", root, "--resume", "auto", "--steps", itoa(c.Step+2))
			if res.ResumedFrom != c.Step || res.Steps != c.Step+2 {
				t.Errorf("resumed %+v, want from %d for 2 steps", res, c.Step)
			}
		})
	}
}

func TestANoticeFileIsEnough(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	notice, reports := filepath.Join(dir, "notice.json"), filepath.Join(dir, "progress")
	p := start(t, []string{"CHECKPOINT_DIR=" + root, "PREEMPT_FILE=" + notice, "PROGRESS_FILE=" + reports, "NNODES=1"},
		append([]string{"train", "--steps", "1000000", "--checkpoint-every", "1000000"}, tiny...)...)
	p.line("progress")
	if err := os.WriteFile(notice, []byte(`{"reason": "recalled"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.exit(exitInterrupted)
	c, err := checkpoint.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(reports)
	if err != nil {
		t.Fatal(err)
	}
	var last contract.Report
	for line := range strings.Lines(string(text)) {
		if last, err = contract.ParseReport(line); err != nil {
			t.Error(err)
		}
	}
	if want := (contract.Report{Verb: contract.Committed, Step: int64(c.Step), Path: c.Dir}); last != want {
		t.Errorf("the last report is %+v, want %+v", last, want)
	}
}

func TestTrainRefusesToBeOneOfSeveral(t *testing.T) {
	code, _, stderr := tinylm(t, t.Context(), map[string]string{"CHECKPOINT_DIR": t.TempDir(), "NNODES": "2"}, "train")
	if code != exitUsage || !strings.Contains(stderr, "resources.nodes") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestSignalWithoutRoomForACheckpointExits76(t *testing.T) {
	root := filepath.Join(t.TempDir(), "out")
	p := start(t, nil, append([]string{"train", "--out", root, "--steps", "1000000", "--checkpoint-every", "1000000"}, tiny...)...)
	p.line("progress")
	if err := os.WriteFile(root, nil, 0o600); err != nil { // in the way of the directory
		t.Fatal(err)
	}
	p.signal(syscall.SIGTERM)
	p.exit(exitNoCommit)
}

func TestKilledTrainingResumesFromACommittedCheckpoint(t *testing.T) {
	root := t.TempDir()
	p := start(t, nil, append([]string{"train", "--out", root, "--steps", "1000000", "--checkpoint-every", "3"}, tiny...)...)
	for range 4 {
		p.line("committed")
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	c, err := checkpoint.Open(root)
	if err != nil || c.Step < 9 || c.Step%3 != 0 {
		t.Fatalf("checkpoint %+v, %v; want a committed one of step 9 or later", c, err)
	}
	res := trainTiny(t, nil, "--out", root, "--resume", "auto", "--steps", itoa(c.Step+1))
	if res.ResumedFrom != c.Step {
		t.Errorf("resumed from %d, want %d", res.ResumedFrom, c.Step)
	}
}
