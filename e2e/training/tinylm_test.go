package training

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

// tinylm is a job that trains a model small enough for a step of milliseconds, for longer than any test waits:
// how fast it learns depends on how long it is to learn.
func tinylm(t *testing.T, program string) *trainingJob {
	return newJob(t, functions.FrameworkCustom, program, "train", "--steps", "10000000", "--checkpoint-every", "100", "--keep", "1000000",
		"--context", "8", "--embed", "4", "--hidden", "16", "--batch", "16", "--learning-rate", "0.02")
}

// stopAt lets an attempt train until a checkpoint of so many steps or more is committed, and asks it to go.
func stopAt(t *testing.T, g *gang, step int64) {
	t.Helper()
	g.await("checkpoint", func(r contract.Report) bool { return r.Verb == contract.Committed && r.Step >= step })
	g.notify(job.CauseRecalled)
	g.want(job.ClassPreempted)
	if code := g.codes()[0]; code != functions.ExitSaved {
		t.Errorf("exit code %d, want %d", code, functions.ExitSaved)
	}
}

// nextLoss is the loss of the step after a checkpoint, which tells its weights from any others.
func nextLoss(t *testing.T, program string, j *trainingJob, step int64) float64 {
	t.Helper()
	dir := filepath.Join(j.checkpoints, fmt.Sprintf("step-%012d", step))
	cmd := exec.CommandContext(t.Context(), program, "train", "--json", "--resume", dir, "--out", t.TempDir(), "--steps", strconv.FormatInt(step+1, 10))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go on from %s: %v", dir, err)
	}
	var result struct {
		Loss float64 `json:"loss_first"`
	}
	if err := json.Unmarshal(out, &result); err != nil || result.Loss <= 0 {
		t.Fatalf("result %s: %v", out, err)
	}
	return result.Loss
}

// The weights are those of a training that nobody stopped.
func TestTinyLMGivesWayAndGoesOn(t *testing.T) {
	program := Build(t, "./cmd/tinylm")
	j := tinylm(t, program)
	stopAt(t, j.start(1), 100)
	saved := j.newest()
	cut := filepath.Join(j.checkpoints, fmt.Sprintf("step-%d", saved.Step+1)) // begun, and never committed
	if err := os.Mkdir(cut, 0o755); err != nil {
		t.Fatal(err)
	}

	second := j.start(1)
	if from := second.ranks[0].place.ResumeFrom; from != filepath.Join(j.checkpoints, saved.Name) {
		t.Errorf("it goes on from %s, want %s", from, saved.Name)
	}
	step := (saved.Step/100 + 2) * 100
	stopAt(t, second, step)
	if first := second.ranks[0].reports()[0]; first.Step <= saved.Step {
		t.Errorf("saved at step %d, and begins again with step %d", saved.Step, first.Step)
	}
	whole := tinylm(t, program)
	stopAt(t, whole.start(1), step)
	if got, want := nextLoss(t, program, j, step), nextLoss(t, program, whole, step); got != want {
		t.Errorf("loss %v after %d steps and a stop at %d, %v without the stop", got, step, saved.Step, want)
	}
}

func TestTinyLMInAGangIsRefused(t *testing.T) {
	g := tinylm(t, Build(t, "./cmd/tinylm")).start(2)
	v := g.want(job.ClassConfig)
	if printed := g.ranks[v.Rank].output.String(); v.Action != job.ActionFail || !strings.Contains(printed, "resources.nodes") {
		t.Errorf("verdict %+v on:\n%s", v, printed)
	}
}
