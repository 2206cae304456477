package progress_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/tinylm/progress"
	"stoker.dev/stoker/scale/job/contract"
)

func ExampleLine() {
	fmt.Println(progress.Line{Step: 120, Steps: 3000, Loss: 2.01934, ETA: 13200 * time.Millisecond})
	// Output: progress step=120 steps=3000 loss=2.0193 percent=4.0 eta=13.2
}

func TestParseIsTheInverseOfString(t *testing.T) {
	want := progress.Line{Step: 7, Steps: 40, Loss: 1.25, ETA: 1500 * time.Millisecond}
	got, err := progress.Parse(want.String() + " later_key=x")
	if err != nil || got != want {
		t.Fatalf("Parse(%q) = %+v, %v; want %+v", want, got, err, want)
	}
}

// What tinylm tells people it tells in a training job's own words.
func TestLinesAreReports(t *testing.T) {
	for line, done := range map[progress.Line]bool{
		{Step: 120, Steps: 3000, Loss: 2.5, ETA: 90 * time.Second}: false,
		{Step: 9999, Steps: 10000, Loss: 0.5}:                      false,
		{Step: 10000, Steps: 10000, Loss: 0.5}:                     true,
	} {
		r, err := contract.ParseReport(line.String())
		if err != nil || r.Step != int64(line.Step) || *r.Loss != line.Loss || r.ETA != line.ETA || r.Event(1).Done != done {
			t.Errorf("%s is read as %+v, %v", line, r, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{"", "committed step=3", "done", "  "} {
		if _, err := progress.Parse(line); !errors.Is(err, progress.ErrNotProgress) {
			t.Errorf("Parse(%q) = %v, want ErrNotProgress", line, err)
		}
	}
	for _, line := range []string{"progress step=x", "progress loss=", "progress eta=-1", "progress eta=NaN"} {
		if _, err := progress.Parse(line); err == nil || errors.Is(err, progress.ErrNotProgress) {
			t.Errorf("Parse(%q) = %v, want an error that names the key", line, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("progress step=1 steps=2 loss=0.5 percent=50.0 eta=1.0")
	f.Add("progress step=-1 eta=1e9")
	f.Fuzz(func(t *testing.T, line string) {
		l, err := progress.Parse(line)
		if err != nil {
			return
		}
		again, err := progress.Parse(l.String())
		if err != nil {
			t.Fatalf("Parse(%q) gave %+v, whose own line %q is refused: %v", line, l, l, err)
		}
		if again.Step != l.Step || again.Steps != l.Steps {
			t.Fatalf("%q does not survive a second round: %+v != %+v", line, again, l)
		}
	})
}
