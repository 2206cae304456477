package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// promisedVerbs are those a contributor can count on.
var promisedVerbs = []string{"bench", "build", "chaos", "cluster", "demo", "e2e", "fuzz", "lint", "replay", "sim", "simcluster", "test", "vuln"}

// verbCall is how a document or CI calls a verb.
var verbCall = regexp.MustCompile(`go tool task ([a-z][a-z0-9:-]*)`)

// taskfile is the part of Task's schema that the rules are about.
type taskfile struct {
	Tasks map[string]task
}

type task struct {
	Desc     string
	Internal bool
	Cmds     []yaml.Node
}

func readTaskfile(t *testing.T) taskfile {
	t.Helper()
	var parsed taskfile
	if err := yaml.Unmarshal([]byte(readRepoFile(t, "Taskfile.yml")), &parsed); err != nil {
		t.Fatal(err)
	}
	if len(parsed.Tasks) == 0 {
		t.Fatal("Taskfile.yml names no task")
	}
	return parsed
}

// readRepoFile returns a file of the repository as text.
func readRepoFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repoRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEveryPromisedVerbHasHelp(t *testing.T) {
	tasks := readTaskfile(t).Tasks
	for _, verb := range promisedVerbs {
		if _, ok := tasks[verb]; !ok {
			t.Errorf("Taskfile.yml has no verb %s", verb)
		}
	}
	for name, task := range tasks {
		if task.Internal {
			continue
		}
		if task.Desc == "" || strings.Contains(task.Desc, "\n") || !strings.HasSuffix(task.Desc, ".") {
			t.Errorf("verb %s: help %q, want one sentence on one line", name, task.Desc)
		}
		if len(task.Cmds) == 0 {
			t.Errorf("verb %s does nothing", name)
		}
	}
}

// TestEveryNamedVerbExists holds the documents, CI and the Taskfile together.
func TestEveryNamedVerbExists(t *testing.T) {
	tasks := readTaskfile(t).Tasks
	for _, name := range []string{"README.md", "CONTRIBUTING.md", ".ci/run", publicCI} {
		verbs := namedVerbs(readRepoFile(t, name))
		if len(verbs) == 0 {
			t.Errorf("%s names no verb", name)
		}
		for _, verb := range verbs {
			if task, ok := tasks[verb]; !ok || task.Internal {
				t.Errorf("%s calls `go tool task %s`, which Taskfile.yml does not offer", name, verb)
			}
		}
	}
	if got := namedVerbs("see `go tool task no-such` and go tool task test"); !slices.Equal(got, []string{"no-such", "test"}) {
		t.Errorf("the verbs of a sentence are not recognised: %q", got)
	}
}

func namedVerbs(text string) []string {
	var verbs []string
	for _, match := range verbCall.FindAllStringSubmatch(text, -1) {
		verbs = append(verbs, match[1])
	}
	return verbs
}

// goWork is what .ci/run must leave to the verbs, so that what CI checks is what a contributor can run.
var goWork = regexp.MustCompile(`\bgo (build|run|test|vet|generate)\b`)

// publicCI is what the public repository runs.
const publicCI = ".github/workflows/ci.yml"

func TestCIRunsTheDocumentedTestCommand(t *testing.T) {
	const command = "go tool task test"
	for _, name := range []string{"README.md", ".ci/run"} {
		if !regexp.MustCompile(`(?m)^\s*` + command + `\b`).MatchString(readRepoFile(t, name)) {
			t.Errorf("%s has no line that runs %q", name, command)
		}
	}
	for _, line := range strings.Split(readRepoFile(t, ".ci/run"), "\n") {
		if goWork.MatchString(strings.SplitN(line, "#", 2)[0]) {
			t.Errorf(".ci/run works beside the verbs: %s", strings.TrimSpace(line))
		}
	}
	if info, err := os.Stat(filepath.Join(repoRoot, ".ci/run")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf(".ci/run is not executable: %v", err)
	}
}

// workflow is the part of GitHub's schema that the rules are about.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Timeout int `yaml:"timeout-minutes"`
		Steps   []struct{ Uses, Run string }
	}
}

// TestThePublicCIRunsTheSameVerbs holds the two kinds of CI together: the workflow runs everything that .ci/run does
// with the same words, govulncheck beside it, and nothing that is no verb.
func TestThePublicCIRunsTheSameVerbs(t *testing.T) {
	var w workflow
	if err := yaml.Unmarshal([]byte(readRepoFile(t, publicCI)), &w); err != nil {
		t.Fatal(err)
	}
	var runs []string
	for name, job := range w.Jobs {
		if job.Timeout == 0 || job.Timeout > 60 {
			t.Errorf("job %s has %d minutes, want 1 to 60", name, job.Timeout)
		}
		for _, step := range job.Steps {
			if step.Run != "" {
				runs = append(runs, step.Run)
			}
		}
	}
	for _, run := range runs {
		if !strings.HasPrefix(run, "go tool task ") {
			t.Errorf("%s runs %q, which is no verb", publicCI, run)
		}
	}
	wanted := regexp.MustCompile(`(?m)^(?:step )?(go tool task [^|\n]*?)(?: \|\| failed=1)?$`).FindAllStringSubmatch(readRepoFile(t, ".ci/run"), -1)
	if len(wanted) < 3 {
		t.Fatalf("the commands of .ci/run are not recognised: %q", wanted)
	}
	for _, command := range append(wanted, []string{"", "go tool task vuln"}) {
		verb := strings.TrimSuffix(command[1], " INSTALLED=1") // .ci/run installs what tests need otherwise; the runner has what it has
		if !slices.Contains(runs, verb) {
			t.Errorf("%s does not run %q; it runs %q", publicCI, verb, runs)
		}
	}
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
		t.Errorf("%s asks for %v, want to read the contents and nothing more", publicCI, w.Permissions)
	}
}

func TestTestVerbUsesTheRaceDetector(t *testing.T) {
	tasks := readTaskfile(t).Tasks
	if !strings.Contains(commandText(tasks["gotest"]), " -race ") {
		t.Error("the verbs that run tests do not use -race")
	}
	for _, verb := range []string{"test", "e2e", "replay"} {
		if !strings.Contains(commandText(tasks[verb]), "task: gotest") {
			t.Errorf("verb %s does not go through gotest, which turns the race detector on", verb)
		}
	}
}

// commandText is a task's commands as the Taskfile writes them.
func commandText(task task) string {
	text, err := yaml.Marshal(task.Cmds)
	if err != nil {
		return ""
	}
	return string(text)
}

// TestToolsStayOutOfTheProduct checks the reason why the tools have a module of their own. A go.mod names every
// module that the packages of its own module need, directly or not.
func TestToolsStayOutOfTheProduct(t *testing.T) {
	product, tools := readRepoFile(t, "go.mod"), readRepoFile(t, "tools/go.mod")
	for _, tool := range []string{
		"github.com/go-task/task/v3", "github.com/golangci/golangci-lint/v2", "github.com/nats-io/natscli",
		"go.temporal.io/sdk/contrib/tools/workflowcheck", "golang.org/x/vuln", "gotest.tools/gotestsum",
	} {
		if strings.Contains(product, tool+" v") {
			t.Errorf("go.mod requires %s: pin it in tools/go.mod instead", tool)
		}
		if !strings.Contains(tools, "\t"+tool+" v") {
			t.Errorf("tools/go.mod does not pin %s", tool)
		}
	}
}
