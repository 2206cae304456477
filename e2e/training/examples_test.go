package training

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// manySteps are more than any test waits for.
const manySteps = "1000000000"

// smallest starts each of the two examples of docs/training.md as a job.
func smallest(t *testing.T, test func(*testing.T, *trainingJob)) {
	t.Run("python", func(t *testing.T) {
		test(t, newJob(t, functions.FrameworkCustom, Python(t, "json"), Program(t, "train.py")))
	})
	t.Run("go", func(t *testing.T) {
		test(t, newJob(t, functions.FrameworkCustom, Build(t, "./deploy/examples/training")))
	})
}

// exampleLoss is the loss of the examples after some steps from the start, however often they were stopped.
func exampleLoss(step int64) float64 { return 9 * math.Pow(1-1e-4, 2*float64(step)) }

func checkExampleLosses(t *testing.T, g *gang) {
	t.Helper()
	losses := g.losses()
	if len(losses) == 0 {
		t.Error("no loss was reported")
	}
	for step, got := range losses {
		if want := exampleLoss(step); math.Abs(got-want) > 1e-6*want {
			t.Errorf("loss %g after step %d, want %g", got, step, want)
		}
	}
}

func TestExamplesSaveWhenAskedToGoAndGoOnFromThere(t *testing.T) {
	smallest(t, func(t *testing.T, j *trainingJob) {
		first := j.start(1, manySteps)
		first.awaitCheckpoint()
		first.notify(job.CausePreempted)
		first.want(job.ClassPreempted)
		if code := first.codes()[0]; code != functions.ExitSaved {
			t.Errorf("exit code %d, want %d", code, functions.ExitSaved)
		}
		checkExampleLosses(t, first)

		saved := j.newest().Step
		second := j.start(1, strconv.FormatInt(saved+1500, 10))
		second.want(job.ClassDone)
		checkExampleLosses(t, second)
		if from := second.ranks[0].reports()[0].Step; from <= saved || from > saved+1000 {
			t.Errorf("saved at step %d, and the next attempt first reports step %d", saved, from)
		}
		if got := j.newest().Step; got != saved+1500 {
			t.Errorf("the last checkpoint holds %d steps, want %d", got, saved+1500)
		}
	})
}

func TestExamplesAreNeverResumedFromWhatWasNotCommitted(t *testing.T) {
	smallest(t, func(t *testing.T, j *trainingJob) {
		j.start(1, "2000").want(job.ClassDone)
		cut := filepath.Join(j.checkpoints, "step-3000") // as a kill while it was written leaves it
		if err := os.Mkdir(cut, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cut, "state.json"), []byte(`[1.5, 30`), 0o644); err != nil {
			t.Fatal(err)
		}
		second := j.start(1, "3000")
		if got := second.ranks[0].place.ResumeFrom; got != filepath.Join(j.checkpoints, "step-2000") {
			t.Errorf("the second attempt begins with %s", got)
		}
		second.want(job.ClassDone)
		checkExampleLosses(t, second)
		if got := j.newest(); got.Step != 3000 { // written over what had been cut short
			t.Errorf("newest checkpoint %+v", got)
		}
	})
}

func TestAKilledExampleLosesOneIntervalAtMost(t *testing.T) {
	smallest(t, func(t *testing.T, j *trainingJob) {
		first := j.start(1, manySteps)
		first.awaitStep(3000)
		first.ranks[0].killTree()
		if v := first.want(job.ClassKilled); v.Spends != job.SpendsInfra {
			t.Errorf("it spends %q: %+v", v.Spends, v)
		}
		reports := first.ranks[0].reports()
		saved := j.newest().Step
		if last := reports[len(reports)-1].Step; saved < last-1000 || saved < 3000-1000 {
			t.Errorf("at step %d the newest checkpoint held step %d", last, saved)
		}
		second := j.start(1, strconv.FormatInt(saved+10, 10))
		second.want(job.ClassDone)
		checkExampleLosses(t, second)
	})
}

// noCode is a line of an example that a reader need not count: blank, a comment, an import or a closing brace.
var noCode = regexp.MustCompile(`^\s*(#.*|//.*|import .*|[})]*)$`)

// "Twenty lines" is said of the whole Python program, and of main in Go.
func TestExamplesAreTwentyLines(t *testing.T) {
	_, main, found := strings.Cut(example(t, "main.go"), "func main() {\n")
	if !found {
		t.Fatal("main.go has no main")
	}
	main, _, _ = strings.Cut(main, "\n}\n")
	for name, text := range map[string]string{"train.py": example(t, "train.py"), "main of main.go": main} {
		n := 0
		for line := range strings.Lines(text) {
			if !noCode.MatchString(strings.TrimSuffix(line, "\n")) {
				n++
			}
		}
		if n < 10 || n > 20 {
			t.Errorf("%s has %d lines of code", name, n)
		}
	}
}

// example is the text of an example.
func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(Program(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
