package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// maxLine bounds one event; a test that prints more in one line is cut by the go command itself.
const maxLine = 16 << 20

// event is the part of test2json's output that the report needs (`go doc test2json`).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// counts are the tests and subtests of one package or folder, by how they ended.
type counts struct{ passed, failed, skipped int }

func (c *counts) add(d counts) {
	c.passed += d.passed
	c.failed += d.failed
	c.skipped += d.skipped
}

// skip is one skipped test.
type skip struct{ pkg, test, reason string }

// report is what the events add up to.
type report struct {
	packages map[string]*counts
	failures []string
	skips    []skip
	output   map[string][]string // lines of tests still running, by package and test
}

func newReport() *report {
	return &report{packages: map[string]*counts{}, output: map[string][]string{}}
}

// read adds the events of one `go test -json` run.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("line %d is no test event: %w", n, err)
		}
		if e.Package != "" {
			r.take(e)
		}
	}
	return lines.Err()
}

func (r *report) take(e event) {
	c := r.packages[e.Package]
	if c == nil {
		c = &counts{}
		r.packages[e.Package] = c
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.output[key] = append(r.output[key], e.Output)
		return
	case "pass":
		if e.Test != "" {
			c.passed++
		}
	case "fail":
		// A package fails with its tests; without a failed test it did not build, or it crashed.
		if e.Test != "" || c.failed == 0 {
			c.failed++
			r.failures = append(r.failures, strings.TrimSpace(short(e.Package)+" "+e.Test))
		}
	case "skip":
		if e.Test != "" {
			c.skipped++
			r.skips = append(r.skips, skip{e.Package, e.Test, reason(r.output[key])})
		}
	default:
		return
	}
	delete(r.output, key)
}

// place is what t.Skip prints before its reason.
var place = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

// reason finds the text given to t.Skip among the output of a skipped test; it is printed last.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		if loc := place.FindStringIndex(line); loc != nil {
			return strings.TrimSpace(line[loc[1]:])
		}
	}
	return ""
}

// What the reason of a skip says if the test lacked something that is to be had.
const (
	verbCall   = "go tool task "    // a verb of this project builds it
	ciInstalls = "(CI installs it)" // .ci/run does
)

// problems says what is wrong with the run: failures, skips without a reason, packages that ran nothing. A run is
// complete if it wants packages; then what a verb builds must have been there.
func (r *report) problems(want []string) []string {
	var found []string
	for _, f := range r.failures {
		found = append(found, "failed: "+f)
	}
	for _, s := range r.skips {
		if s.reason == "" {
			found = append(found, "skipped without a reason: "+short(s.pkg)+" "+s.test)
		}
	}
	if len(want) > 0 {
		found = append(found, r.skippedFor(verbCall, "what a verb builds")...)
	}
	for _, pkg := range want {
		if c := r.packages[pkg]; c == nil || c.passed == 0 {
			found = append(found, "has test files and passed no test: "+short(pkg))
		}
	}
	if r.total().passed == 0 {
		found = append(found, "no test passed at all")
	}
	return found
}

// skippedFor lists the tests whose reason to be skipped holds a phrase.
func (r *report) skippedFor(phrase, what string) []string {
	var found []string
	for _, s := range r.skips {
		if strings.Contains(s.reason, phrase) {
			found = append(found, "skipped for want of "+what+": "+short(s.pkg)+" "+s.test)
		}
	}
	return found
}

func (r *report) total() counts {
	var sum counts
	for _, c := range r.packages {
		sum.add(*c)
	}
	return sum
}

func (r *report) print(out io.Writer, problems []string) {
	folders := map[string]*counts{}
	for pkg, c := range r.packages {
		name, _, _ := strings.Cut(short(pkg), "/")
		if folders[name] == nil {
			folders[name] = &counts{}
		}
		folders[name].add(*c)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "FOLDER\tPASSED\tFAILED\tSKIPPED")
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		if c := folders[name]; *c != (counts{}) {
			fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", name, c.passed, c.failed, c.skipped)
		}
	}
	table.Flush()
	r.printSkips(out)
	for _, p := range problems {
		fmt.Fprintln(out, p)
	}
	sum := r.total()
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, sum.skipped)
}

// printSkips groups the skips by reason, so that one missing device is one line.
func (r *report) printSkips(out io.Writer) {
	byReason := map[string][]skip{}
	for _, s := range r.skips {
		byReason[s.reason] = append(byReason[s.reason], s)
	}
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(out, "skipped %d: %s\n", len(byReason[why]), cmp.Or(why, "(no reason given)"))
		for _, s := range byReason[why] {
			fmt.Fprintf(out, "    %s %s\n", short(s.pkg), s.test)
		}
	}
}

func short(pkg string) string { return strings.TrimPrefix(pkg, modulePath) }
