package contract

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// ErrReport is returned for a line that is no report. It tells nothing about the job.
var ErrReport = errors.New("line is no report")

// MaxReport is the length of a line in bytes: a path and some numbers.
const MaxReport = 8 << 10

// Verb is what a report is about.
type Verb string

// The verbs.
const (
	Progress  Verb = "progress"  // where the training is
	Saving    Verb = "saving"    // a checkpoint is being written
	Committed Verb = "committed" // it counts from now on
)

// Report is one line of $PROGRESS_FILE.
type Report struct {
	Verb     Verb
	Step     int64
	Loss     *float64      // nil: not given, or not a number
	Diverged bool          // the loss was not a number or without end
	Percent  float64       // done, 0 to 100; 100: finished
	ETA      time.Duration // until it is finished; 0: not given
	Path     string        // of what was committed
}

// ParseReport reads one line:
//
//	progress step=1200 loss=2.31 percent=12.5 eta=3h20m
//	saving step=1200
//	committed step=1200 path=/mnt/shared/run/step-1200
//
// Order does not matter, except that path takes the rest of the line; eta is a duration or a number of
// seconds; of progress everything but the step may be missing. Keys that are not known are passed over,
// so that a program may say more than is read. Errors match ErrReport.
func ParseReport(line string) (Report, error) {
	line = strings.TrimRight(line, "\r\n")
	if len(line) > MaxReport || !utf8.ValidString(line) {
		return Report{}, fmt.Errorf("%w: at most %d bytes of UTF-8 are read", ErrReport, MaxReport)
	}
	head, rest, _ := strings.Cut(line, " ")
	r := Report{Verb: Verb(head), Step: -1}
	switch r.Verb {
	case Progress, Saving, Committed:
	default:
		return Report{}, fmt.Errorf("%w: begins with %.60q, known are progress, saving and committed", ErrReport, head)
	}
	if before, where, found := strings.Cut(" "+rest, " path="); found {
		rest, r.Path = before, where
	}
	for _, word := range strings.Fields(rest) {
		if err := r.set(word); err != nil {
			return Report{}, err
		}
	}
	if err := r.check(); err != nil {
		return Report{}, err
	}
	return r, nil
}

// set takes one key=value.
func (r *Report) set(word string) error {
	key, value, _ := strings.Cut(word, "=")
	var err error
	switch key {
	case "step":
		r.Step, err = strconv.ParseInt(value, 10, 64)
	case "loss":
		var loss float64
		loss, err = strconv.ParseFloat(value, 64)
		r.Loss = nil
		if r.Diverged = math.IsNaN(loss) || math.IsInf(loss, 0); !r.Diverged {
			r.Loss = &loss
		} else if errors.Is(err, strconv.ErrRange) { // written out, and beyond what a float64 holds
			err = nil
		}
	case "percent":
		r.Percent, err = strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if err == nil && !(r.Percent >= 0 && r.Percent <= 100) {
			err = errors.New("0 to 100 are allowed")
		}
	case "eta":
		r.ETA, err = parseETA(value)
	}
	if err != nil {
		return fmt.Errorf("%w: %.60q: %w", ErrReport, word, err)
	}
	return nil
}

// parseETA reads a duration in Go's notation, or a number of seconds.
func parseETA(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if seconds, plain := strconv.ParseFloat(s, 64); plain == nil {
		if !(seconds >= 0 && seconds <= functions.MaxJobSpan.Seconds()) {
			return 0, fmt.Errorf("0s to %s are allowed", functions.Duration(functions.MaxJobSpan))
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	if err == nil && (d < 0 || d > functions.MaxJobSpan) {
		return 0, fmt.Errorf("0s to %s are allowed", functions.Duration(functions.MaxJobSpan))
	}
	return d, err
}

// check says what is missing in a report.
func (r Report) check() error {
	switch {
	case r.Step < 0:
		return fmt.Errorf("%w: %s without step=, a number from 0", ErrReport, r.Verb)
	case r.Verb != Committed && r.Path != "":
		return fmt.Errorf("%w: %s with a path, which only committed has", ErrReport, r.Verb)
	case r.Verb == Committed && (!path.IsAbs(r.Path) || path.Clean(r.Path) != r.Path || strings.ContainsRune(r.Path, 0)):
		return fmt.Errorf("%w: committed with path %.60q, an absolute one without . and .. is needed", ErrReport, r.Path)
	default:
		return nil
	}
}

// Event is what a report is to the life of its job.
func (r Report) Event(generation uint64) job.Event {
	e := job.Event{Kind: job.Progress, Generation: generation, Step: r.Step}
	switch r.Verb {
	case Progress:
		e.Done = r.Percent >= 100
	case Saving:
		e.Kind = job.SaveBegan
	case Committed:
		e.Kind, e.Path = job.Commit, r.Path
	}
	return e
}
