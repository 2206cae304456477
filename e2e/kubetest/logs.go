package kubetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shownLines is how much of each log a failed test shows; the whole logs are kept.
const shownLines = 25

// keptLogs is where the logs of failed tests are kept, below the repository.
const keptLogs = "build/kubetest"

// LogsOnFailure shows the ends of all logs if the test fails, and keeps the whole logs. [Start] has called it.
func (c *Cluster) LogsOnFailure(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			c.showLogs(t)
		}
	})
}

func (c *Cluster) showLogs(t testing.TB) {
	t.Helper()
	t.Log(c.logTails())
	kept, err := c.keepLogs(strings.ReplaceAll(t.Name(), "/", "."))
	if err != nil {
		t.Errorf("keep the cluster's logs: %v", err)
		return
	}
	t.Logf("the whole logs are in %s", kept)
}

// logTails are the ends of all logs.
func (c *Cluster) logTails() string {
	var b strings.Builder
	for _, role := range startOrder {
		fmt.Fprintf(&b, "--- %s\n%s\n", role, lastLines(c.log(role), shownLines))
	}
	return b.String()
}

// lastLines is the end of a log, or why there is none.
func lastLines(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (c *Cluster) keepLogs(name string) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, keptLogs, name)
	if err := os.RemoveAll(dir); err != nil { // of an earlier run
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	logs, err := filepath.Glob(filepath.Join(c.dir, "*.log"))
	if err != nil {
		return "", err
	}
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}
