package training

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// pythons are tried in this order: a distribution's packages belong to its own Python, which need not be the
// first in PATH.
var pythons = []string{"/usr/bin/python3", "python3"}

// Python returns a Python that can import a module. Without one the test is skipped; CI installs it, and the
// report of its run takes the skip for a failure.
func Python(t testing.TB, module string) string {
	t.Helper()
	var why []string
	for _, python := range pythons {
		out, err := exec.CommandContext(t.Context(), python, "-c", "import "+module).CombinedOutput()
		if err == nil {
			return python
		}
		why = append(why, strings.TrimSpace(fmt.Sprintf("%s: %v %s", python, err, lastLine(string(out)))))
	}
	t.Skipf("no Python with the module %s on this machine (CI installs it): %s", module, strings.Join(why, "; "))
	return ""
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}

// Root is the repository.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("this file's own path is unknown")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Program returns the path of an example below deploy/examples/training.
func Program(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(Root(t), "deploy", "examples", "training", name)
}

// Build builds a package of the repository, such as ./cmd/tinylm, and returns the program's path. It is built
// without the race detector, which a model's arithmetic has no use for.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, pkg)
	cmd.Dir = Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return program
}
