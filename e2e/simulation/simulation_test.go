package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	root   = "../.."
	traces = "../../../shared/traces"
)

// TestDocumentIsFresh: the two quickest traces are studied again, and their sections must be those of the document to
// the digit; for the others, which take minutes, the document must come from the sources and profiles there are now.
func TestDocumentIsFresh(t *testing.T) {
	for _, name := range traceNames {
		if _, err := os.Stat(filepath.Join(traces, name+".csv.gz")); err != nil {
			t.Skipf("the recorded trace %s is not on this machine", name)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, documentPath))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range quickest {
		s, err := studyTrace(context.Background(), root, traces, name)
		if err != nil {
			t.Fatal(err)
		}
		if want := section(s); !strings.Contains(string(text), want) {
			t.Errorf("%s is stale: run `go tool task sim`. It lacks\n%s", documentPath, want)
		}
		line, _, _ := strings.Cut(strings.Split(compared([]study{s}), "--:|\n")[1], "\n")
		if !strings.Contains(string(text), line) {
			t.Errorf("%s is stale: run `go tool task sim`. It lacks\n%s", documentPath, line)
		}
	}
	source, err := fingerprint(root)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), sourceMark+source) {
		t.Errorf("%s was written from other sources: run `go tool task sim` (now %s)", documentPath, source)
	}
}

// TestFingerprint: code changes it, comments and tests do not.
func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	print := func() string {
		t.Helper()
		s, err := fingerprint(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, place := range decisive {
		if strings.HasSuffix(place, ".go") {
			write(place, "package functions\n")
			continue
		}
		write(place+"/a.go", "package a\n\nconst x = 1\n")
	}
	write("deploy/profiles/p.yaml", "slots: 1\n")
	first := print()
	write("scale/a.go", "// Package a.\npackage a\n\nconst x = 1 // one\n")
	write("scale/a_test.go", "package a\n")
	if print() != first {
		t.Error("a comment or a test counts")
	}
	write("scale/a.go", "package a\n\nconst x = 2\n")
	second := print()
	write("deploy/profiles/p.yaml", "slots: 2\n")
	if second == first || print() == second {
		t.Error("code or a profile does not count")
	}
}

// TestDocument: a family that never reaches the attainment is said to, and the hardest trace is the one farthest from
// the bound.
func TestDocument(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	var studies []study
	for i, rows := range []string{"0\n100\n5000\n", "0\n1\n2\n3\n4\n5\n"} {
		name := traceNames[i]
		var b strings.Builder
		b.WriteString("arrival_s,exec_s\n")
		for _, at := range strings.Fields(rows) {
			b.WriteString(at + ",1\n")
		}
		if err := os.WriteFile(filepath.Join(dir, name+".csv.gz"), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := studyTrace(ctx, root, dir, name)
		if err != nil {
			t.Fatal(err)
		}
		studies = append(studies, s)
	}
	text := document(studies, "abc")
	worst := studies[0]
	if studies[1].row("stoker").VsOracle > worst.row("stoker").VsOracle {
		worst = studies[1]
	}
	for _, want := range []string{"Sources: abc", "## The hardest trace\n\n" + worst.name, "| stoker |", "| oracle |", "mean ratio"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	delete(studies[0].swept, "keda")
	if text := compared(studies); !strings.Contains(text, "never |") {
		t.Errorf("a family that reaches nothing:\n%s", text)
	}
	if _, err := studyTrace(ctx, root, filepath.Join(dir, "none"), quickest[0]); err == nil || !strings.Contains(err.Error(), "not part of the repository") {
		t.Errorf("no traces: %v", err)
	}
}
