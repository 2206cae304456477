// Package progress is the line protocol in which tinylm reports training. One
// line is one event, a word followed by key=value pairs:
//
//	progress step=120 steps=3000 loss=2.0193 percent=4.0 eta=13.2
//
// It is a report of a training job (contract.ParseReport), which steps= adds to. Lines that start with another word are not progress and may be shown or
// ignored. New keys may be added at the end; readers skip keys they do not know.
package progress

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrNotProgress is returned by Parse for a line of another kind.
var ErrNotProgress = errors.New("not a progress line")

const word = "progress"

// Line is one progress report.
type Line struct {
	Step  int           // steps done, counted from the start of the first run
	Steps int           // steps of the whole training
	Loss  float64       // mean training loss since the last report, in nats per character
	ETA   time.Duration // time left at the present speed
}

// Percent is the share of the training that is done, 0 to 100.
func (l Line) Percent() float64 {
	if l.Steps <= 0 {
		return 0
	}
	return 100 * float64(l.Step) / float64(l.Steps)
}

// String formats the line, without a newline. The percentage is rounded down: 100 is said of what is finished.
func (l Line) String() string {
	return fmt.Sprintf("%s step=%d steps=%d loss=%.4f percent=%.1f eta=%.1f",
		word, l.Step, l.Steps, l.Loss, math.Floor(10*l.Percent())/10, l.ETA.Seconds())
}

// Parse reads a line written by String, losing only the digits String rounds
// away. Any other line is ErrNotProgress; a damaged one is an error that names
// the key.
func Parse(line string) (Line, error) {
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != word {
		return Line{}, ErrNotProgress
	}
	var l Line
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		if err := l.set(key, value); err != nil {
			return Line{}, fmt.Errorf("progress line %q: key %s: %w", line, key, err)
		}
	}
	return l, nil
}

func (l *Line) set(key, value string) (err error) {
	switch key {
	case "step":
		l.Step, err = strconv.Atoi(value)
	case "steps":
		l.Steps, err = strconv.Atoi(value)
	case "loss":
		l.Loss, err = strconv.ParseFloat(value, 64)
	case "eta":
		l.ETA, err = parseSeconds(value)
	}
	return err
}

func parseSeconds(value string) (time.Duration, error) {
	s, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(s) || s < 0 || s > math.MaxInt32 {
		return 0, fmt.Errorf("%q seconds are out of range", value)
	}
	return time.Duration(s * float64(time.Second)), nil
}
