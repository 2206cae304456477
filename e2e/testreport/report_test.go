package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// events is a run in the words of test2json: two passes, one skip with and one without a reason, one failure, one
// package that does not build, and one that has no test files.
const events = `{"Action":"start","Package":"stoker.dev/stoker/scale"}
{"Action":"run","Package":"stoker.dev/stoker/scale","Test":"TestA"}
{"Action":"pass","Package":"stoker.dev/stoker/scale","Test":"TestA"}
{"Action":"pass","Package":"stoker.dev/stoker/scale","Test":"TestA/sub"}
{"Action":"pass","Package":"stoker.dev/stoker/scale"}
{"Action":"output","Package":"stoker.dev/stoker/activities/nvml","Test":"TestGPU","Output":"=== RUN   TestGPU\n"}
{"Action":"output","Package":"stoker.dev/stoker/activities/nvml","Test":"TestGPU","Output":"    nvml_test.go:12: no NVIDIA driver\n"}
{"Action":"output","Package":"stoker.dev/stoker/activities/nvml","Test":"TestGPU","Output":"--- SKIP: TestGPU (0.00s)\n"}
{"Action":"skip","Package":"stoker.dev/stoker/activities/nvml","Test":"TestGPU"}
{"Action":"skip","Package":"stoker.dev/stoker/activities/nvml","Test":"TestSilent"}
{"Action":"pass","Package":"stoker.dev/stoker/activities/nvml"}
{"Action":"fail","Package":"stoker.dev/stoker/events","Test":"TestB"}
{"Action":"fail","Package":"stoker.dev/stoker/events"}
{"ImportPath":"stoker.dev/stoker/workflows","Action":"build-output","Output":"syntax error\n"}
{"Action":"fail","Package":"stoker.dev/stoker/workflows"}
{"Action":"skip","Package":"stoker.dev/stoker/deploy"}
`

func readEvents(t *testing.T, text string) *report {
	t.Helper()
	r := newReport()
	if err := r.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReportCountsByFolder(t *testing.T) {
	r := readEvents(t, events)
	var out strings.Builder
	r.print(&out, r.problems([]string{"stoker.dev/stoker/scale", "stoker.dev/stoker/activities/nvml", "stoker.dev/stoker/gone"}))
	want := `FOLDER      PASSED  FAILED  SKIPPED
activities  0       0       2
events      0       1       0
scale       2       0       0
workflows   0       1       0
skipped 1: (no reason given)
    activities/nvml TestSilent
skipped 1: no NVIDIA driver
    activities/nvml TestGPU
failed: events TestB
failed: workflows
skipped without a reason: activities/nvml TestSilent
has test files and passed no test: activities/nvml
has test files and passed no test: gone
2 passed, 2 failed, 2 skipped
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestACompleteRunSkipsNothingThatAVerbBuilds(t *testing.T) {
	const skipped = `{"Action":"pass","Package":"stoker.dev/stoker/scale","Test":"TestA"}
{"Action":"output","Package":"stoker.dev/stoker/scale","Test":"TestPods","Output":"    x_test.go:1: needs it, \"go tool task simcluster\" builds it\n"}
{"Action":"skip","Package":"stoker.dev/stoker/scale","Test":"TestPods"}
`
	if got := readEvents(t, skipped).problems(nil); len(got) != 0 {
		t.Errorf("a run of some tests is said to be wrong: %q", got)
	}
	want := []string{"skipped for want of what a verb builds: scale TestPods"}
	if got := readEvents(t, skipped).problems([]string{"stoker.dev/stoker/scale"}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhereCIInstallsSomethingNothingIsSkippedForWantOfIt(t *testing.T) {
	const skipped = `{"Action":"pass","Package":"stoker.dev/stoker/e2e/training","Test":"TestA"}
{"Action":"output","Package":"stoker.dev/stoker/e2e/training","Test":"TestDDP","Output":"    x_test.go:1: no torch on this machine (CI installs it): exit status 1\n"}
{"Action":"skip","Package":"stoker.dev/stoker/e2e/training","Test":"TestDDP"}
`
	file := filepath.Join(t.TempDir(), "e2e.json")
	if err := os.WriteFile(file, []byte(skipped), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), []string{file}, &out); err != nil {
		t.Errorf("on a machine without torch the run is said to be wrong: %v", err)
	}
	const want = "skipped for want of what CI installs: e2e/training TestDDP\n"
	if err := run(t.Context(), []string{"-installed", file}, &out); err == nil || !strings.Contains(out.String(), want) {
		t.Errorf("in CI: %v, with\n%s", err, out.String())
	}
}

func TestReportOfNothingIsAProblem(t *testing.T) {
	if got := readEvents(t, "").problems(nil); !slices.Equal(got, []string{"no test passed at all"}) {
		t.Errorf("got %q", got)
	}
}

func TestReportRefusesWhatIsNoEvent(t *testing.T) {
	if err := newReport().read(strings.NewReader("ok stoker 1s\n")); err == nil {
		t.Error("plain text was taken for events")
	}
}

func TestRunNeedsEvents(t *testing.T) {
	for _, args := range [][]string{nil, {"testdata/none.json"}, {"-nonsense"}} {
		if err := run(t.Context(), args, &strings.Builder{}); err == nil {
			t.Errorf("run(%q) passed", args)
		}
	}
}
