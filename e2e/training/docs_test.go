package training

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job/contract"
)

// guide is the document for people who write training programs.
func guide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), "docs", "training.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the document shows is what the tests run.
func TestGuideShowsTheExamples(t *testing.T) {
	for name, language := range map[string]string{"train.py": "python", "main.go": "go", "ddp.yaml": "yaml"} {
		if !strings.Contains(guide(t), "\n```"+language+"\n"+example(t, name)+"```\n") {
			t.Errorf("docs/training.md does not show %s as it is", name)
		}
	}
}

func TestGuideNamesEveryVariable(t *testing.T) {
	text, seen := guide(t), 0
	for _, framework := range []functions.Framework{functions.FrameworkTorch, functions.FrameworkJAX, functions.FrameworkMPI, functions.FrameworkCustom} {
		j := newJob(t, framework, "true")
		j.attempts = 1
		p := j.place(1)
		p.Dir = t.TempDir()
		env, err := contract.Environment(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range env {
			seen++
			if !strings.Contains(text, "`"+v.Name+"`") {
				t.Errorf("docs/training.md does not name %s", v.Name)
			}
		}
	}
	if seen == 0 {
		t.Error("no framework sets any variable")
	}
}

func TestGuideNamesTheExitCodes(t *testing.T) {
	c := functions.DefaultJob(functions.TrainingJob{}).Spec.Retry.ExitCodes
	for _, codes := range [][]int{c.Saved, c.Unsaved, c.Permanent, c.BadConfig} {
		for _, code := range codes {
			if !strings.Contains(guide(t), "\n| "+strconv.Itoa(code)+" | ") {
				t.Errorf("docs/training.md does not say what %d means", code)
			}
		}
	}
}

// The reports that the document shows are reports.
func TestGuideShowsReportsThatAreRead(t *testing.T) {
	_, block, found := strings.Cut(guide(t), "\n```text\n")
	if !found {
		t.Fatal("docs/training.md shows no reports")
	}
	block, _, _ = strings.Cut(block, "```")
	var verbs []string
	for line := range strings.Lines(block) {
		r, err := contract.ParseReport(line)
		if err != nil {
			t.Error(err)
		}
		verbs = append(verbs, string(r.Verb))
	}
	if got := strings.Join(verbs, " "); got != "progress saving committed" {
		t.Errorf("it shows %q", got)
	}
}

func TestExampleManifestsAreJobs(t *testing.T) {
	files, err := filepath.Glob(Program(t, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("manifests %v, %v", files, err)
	}
	for _, file := range files {
		jobs, err := functions.ParseJobs(filepath.Base(file), []byte(example(t, filepath.Base(file))))
		if err != nil || len(jobs) == 0 {
			t.Errorf("%s: %d jobs, %v", file, len(jobs), err)
		}
	}
}
