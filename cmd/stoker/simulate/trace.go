package simulate

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/scale/simulate"
)

// Bounds of what a trace may hold.
const (
	maxLine      = 64 << 10             // bytes: a row has a dozen short fields
	maxFunctions = 100_000              // far more than a platform has
	maxName      = 253                  // bytes, as Kubernetes has it
	maxTokens    = 1e9                  // of one request
	maxSpan      = 100 * 365.25 * 86400 // seconds from zero: a century, so that times fit
	maxExec      = 30 * 86400           // seconds of service: a month
)

// Functions that the trace has no name for.
const (
	only    = "all"     // of a trace without a model column
	unnamed = "unnamed" // of rows whose model is empty
)

// Trace reads requests from CSV, one after another.
type Trace struct {
	csvFile
	columns columns
	names   map[string]string
	last    time.Duration
	zero    time.Time // of timestamps
	any     bool
}

// columns are the places of what is read; -1: not there.
type columns struct{ at, stamp, input, output, model, exec int }

// NewTrace reads the header. The file's name is for messages. Errors match ErrTrace.
func NewTrace(file string, r io.Reader) (*Trace, error) {
	t := &Trace{names: map[string]string{}}
	header, err := t.open(file, r, "a header such as arrival_s,input_tokens,output_tokens and rows")
	if err != nil {
		return nil, err
	}
	return t, t.readHeader(header)
}

func (t *Trace) readHeader(header []string) error {
	names := columnNames(header)
	find := func(names []string, any ...string) int {
		return slices.IndexFunc(names, func(n string) bool { return slices.Contains(any, n) })
	}
	t.columns = columns{
		at: find(names, "arrival_s"), stamp: find(names, "timestamp"), model: find(names, "model"), exec: find(names, "exec_s"),
		input: find(names, "input_tokens", "contexttokens"), output: find(names, "output_tokens", "generatedtokens"),
	}
	c := t.columns
	for i, n := range names {
		if j := slices.Index(names, n); j < i && slices.Contains([]int{c.at, c.stamp, c.model, c.exec, c.input, c.output}, j) {
			return rowError{File: t.file, Line: 1, Column: t.columnAt(i), Name: n, Value: "given twice", Want: "each column once"}
		}
	}
	if c.at < 0 && c.stamp < 0 {
		return rowError{File: t.file, Line: 1, Name: "arrival_s", Value: fmt.Sprintf("no such column in %q", clip(strings.Join(header, ","))), Want: "a header with arrival_s, or with TIMESTAMP,ContextTokens,GeneratedTokens"}
	}
	if c.exec < 0 && (c.input < 0 || c.output < 0) {
		return rowError{File: t.file, Line: 1, Value: "no service time can be computed", Want: "the columns input_tokens and output_tokens, or exec_s"}
	}
	return nil
}

// Next is the next request. The error is io.EOF after the last one, and matches ErrTrace
// where the trace cannot be read on.
func (t *Trace) Next() (simulate.Request, error) {
	rec, err := t.row()
	switch {
	case errors.Is(err, io.EOF) && !t.any:
		return simulate.Request{}, rowError{File: t.file, Line: 2, Value: "no rows", Want: "at least one request"}
	case err != nil:
		return simulate.Request{}, err
	}
	r, err := t.request(rec)
	if err != nil {
		return simulate.Request{}, err
	}
	t.any, t.last = true, r.At
	return r, nil
}

func (t *Trace) request(rec []string) (r simulate.Request, err error) {
	c := t.columns
	if r.At, err = t.arrival(rec); err != nil {
		return r, err
	}
	if t.any && r.At < t.last {
		return r, t.bad(max(c.at, c.stamp), rec, fmt.Sprintf("no earlier than the row before (%gs)", t.last.Seconds()))
	}
	if r.Input, err = t.number(rec, c.input, maxTokens); err != nil {
		return r, err
	}
	if r.Output, err = t.number(rec, c.output, maxTokens); err != nil {
		return r, err
	}
	r.Exec = -1
	if c.exec >= 0 {
		sec, err := t.number(rec, c.exec, maxExec)
		if err != nil {
			return r, err
		}
		r.Exec = seconds(sec)
	}
	r.Function, err = t.function(rec)
	return r, err
}

// arrival is when a request came.
func (t *Trace) arrival(rec []string) (time.Duration, error) {
	c := t.columns
	if c.at >= 0 {
		sec, err := t.number(rec, c.at, maxSpan)
		return seconds(sec), err
	}
	at, err := time.Parse(azureTime, strings.TrimSpace(rec[c.stamp]))
	if err != nil {
		return 0, t.bad(c.stamp, rec, "a time such as 2023-11-16 18:17:03.9799600")
	}
	if !t.any {
		t.zero = at
	}
	d := at.Sub(t.zero)
	if d > time.Duration(maxSpan)*time.Second {
		return 0, t.bad(c.stamp, rec, "times within a century")
	}
	return d, nil
}

// azureTime is how Azure's traces write times.
const azureTime = "2006-01-02 15:04:05.9999999"

// number reads a field; one whose column is not there is 0.
func (t *Trace) number(rec []string, column int, most float64) (float64, error) {
	if column < 0 {
		return 0, nil
	}
	return t.amount(rec, column, t.name(column), most)
}

// function reads whom a request asks. Names are kept once.
func (t *Trace) function(rec []string) (string, error) {
	if t.columns.model < 0 {
		return only, nil
	}
	raw := rec[t.columns.model]
	if name, known := t.names[raw]; known {
		return name, nil
	}
	switch {
	case raw == "":
		t.names[raw] = unnamed
		return unnamed, nil
	case len(raw) > maxName:
		return "", t.bad(t.columns.model, rec, fmt.Sprintf("a name of at most %d bytes", maxName))
	case len(t.names) >= maxFunctions:
		return "", t.bad(t.columns.model, rec, fmt.Sprintf("at most %d different names", maxFunctions))
	}
	name := strings.Clone(raw)
	t.names[name] = name
	return name, nil
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * float64(time.Second))) }

// bad is what is wrong with a field of the row read last.
func (t *Trace) bad(column int, rec []string, want string) error {
	return t.wrong(rec, column, t.name(column), want)
}

func (t *Trace) name(column int) string {
	c := t.columns
	switch column {
	case c.at:
		return "arrival_s"
	case c.stamp:
		return "TIMESTAMP"
	case c.input:
		return "input tokens"
	case c.output:
		return "output tokens"
	case c.model:
		return "model"
	default:
		return "exec_s"
	}
}
