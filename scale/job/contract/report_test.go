package contract_test

import (
	"errors"
	"fmt"
	"math"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/scale/job/contract"
)

func loss(v float64) *float64 { return &v }

func TestParseReport(t *testing.T) {
	for line, want := range map[string]contract.Report{
		"progress step=1200 loss=2.31 percent=12.5 eta=3h20m": {Verb: contract.Progress, Step: 1200, Loss: loss(2.31), Percent: 12.5, ETA: 200 * time.Minute},
		"progress eta=90 percent=100% step=0\r\n":             {Verb: contract.Progress, Percent: 100, ETA: 90 * time.Second},
		"progress step=1 loss=nan lr=3e-4 note":               {Verb: contract.Progress, Step: 1, Diverged: true},
		"progress step=1 loss=1e999":                          {Verb: contract.Progress, Step: 1, Diverged: true},
		"progress step=1 loss=-0.5":                           {Verb: contract.Progress, Step: 1, Loss: loss(-0.5)},
		"saving step=7":                                       {Verb: contract.Saving, Step: 7},
		"committed step=7 path=/mnt/a b/step-7":               {Verb: contract.Committed, Step: 7, Path: "/mnt/a b/step-7"},
	} {
		if got, err := contract.ParseReport(line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{
		"", "step=1", "Progress step=1", "progress", "progress step=", "progress step=-1", "progress step=1.5", "progress step=99999999999999999999",
		"progress step=1 loss=high", "progress step=1 percent=101", "progress step=1 percent=nan", "progress step=1 eta=-5", "progress step=1 eta=soon", "progress step=1 eta=99999h", "progress step=1 eta=inf",
		"progress step=1 path=/a", "saving", "committed step=7", "committed step=7 path=", "committed step=7 path=step-7", "committed step=7 path=/a/../b", "committed path=/a step=7",
		"progress step=1 " + strings.Repeat("x", contract.MaxReport), "progress step=1 \xff",
	} {
		if got, err := contract.ParseReport(line); !errors.Is(err, contract.ErrReport) || got != (contract.Report{}) {
			t.Errorf("%.40q: %+v, %v", line, got, err)
		}
	}
}

func TestReportsAsEvents(t *testing.T) {
	for line, want := range map[string]job.Event{
		"progress step=7 percent=99.9":  {Kind: job.Progress, Generation: 3, Step: 7},
		"progress step=8 percent=100":   {Kind: job.Progress, Generation: 3, Step: 8, Done: true},
		"saving step=8":                 {Kind: job.SaveBegan, Generation: 3, Step: 8},
		"committed step=8 path=/step-8": {Kind: job.Commit, Generation: 3, Step: 8, Path: "/step-8"},
	} {
		r, err := contract.ParseReport(line)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Event(3); got != want {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// FuzzParseReport wants of any line an error, or a report within its bounds.
func FuzzParseReport(f *testing.F) {
	for _, line := range []string{"progress step=1200 loss=2.31 percent=12.5 eta=3h20m", "saving step=7", "committed step=7 path=/mnt/step-7", "progress step=1 loss=nan eta=1e9"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := contract.ParseReport(line)
		switch {
		case err != nil:
			if !errors.Is(err, contract.ErrReport) || strings.Contains(err.Error(), "\n") && !strings.Contains(line, "\n") {
				t.Errorf("%q: %v", line, err)
			}
		case r.Step < 0, !(r.Percent >= 0 && r.Percent <= 100), r.ETA < 0 || r.ETA > functions.MaxJobSpan:
			t.Errorf("%q: %+v", line, r)
		case r.Loss != nil && (math.IsNaN(*r.Loss) || math.IsInf(*r.Loss, 0)):
			t.Errorf("%q: loss %v", line, *r.Loss)
		case (r.Verb == contract.Committed) != path.IsAbs(r.Path):
			t.Errorf("%q: path %q", line, r.Path)
		}
	})
}

// A program reports by printing lines to $PROGRESS_FILE.
func ExampleParseReport() {
	r, err := contract.ParseReport("progress step=1200 loss=2.31 percent=12.5 eta=3h20m")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Step, *r.Loss, r.Percent, r.ETA)
	_, err = contract.ParseReport("committed step=1200 path=step-1200")
	fmt.Println(err)
	// Output:
	// 1200 2.31 12.5 3h20m0s
	// line is no report: committed with path "step-1200", an absolute one without . and .. is needed
}
