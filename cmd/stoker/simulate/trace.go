package simulate

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
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
	file    string
	rows    *csv.Reader
	bytes   *bounded
	gzipped bool
	width   int
	line    int // the last one that could be read
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
	t := &Trace{file: file, names: map[string]string{}}
	in := bufio.NewReaderSize(r, maxLine)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		t.gzipped = true
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, t.broken(err)
		}
		in = bufio.NewReaderSize(z, maxLine)
	}
	t.bytes = &bounded{r: in}
	t.rows = csv.NewReader(t.bytes)
	t.rows.ReuseRecord = true
	header, err := t.rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, rowError{File: file, Value: "the file is empty", Want: "a header such as arrival_s,input_tokens,output_tokens and rows"}
	}
	if err != nil {
		return nil, t.broken(err)
	}
	t.line = 1
	return t, t.readHeader(header)
}

func (t *Trace) readHeader(header []string) error {
	t.width = len(header)
	names := slices.Clone(header)
	for i := range names {
		names[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(names[i], "\ufeff")))
	}
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
	t.bytes.row = 0
	rec, err := t.rows.Read()
	switch {
	case errors.Is(err, io.EOF) && !t.any:
		return simulate.Request{}, rowError{File: t.file, Line: 2, Value: "no rows", Want: "at least one request"}
	case errors.Is(err, io.EOF):
		return simulate.Request{}, io.EOF
	case err != nil:
		return simulate.Request{}, t.broken(err)
	}
	t.line, _ = t.rows.FieldPos(0)
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
	v, err := strconv.ParseFloat(rec[column], 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > most {
		return 0, t.bad(column, rec, fmt.Sprintf("a number from 0 to %g", most))
	}
	return v, nil
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
	line, at := t.rows.FieldPos(column)
	return rowError{File: t.file, Line: line, Column: at, Name: t.name(column), Value: strconv.Quote(clip(rec[column])), Want: want}
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

// columnAt is where a field of the header stands.
func (t *Trace) columnAt(i int) int {
	_, at := t.rows.FieldPos(i)
	return at
}

// broken says what is wrong with the file itself.
func (t *Trace) broken(err error) error {
	line := t.line + 1
	var parse *csv.ParseError
	switch {
	case errors.As(err, &parse) && errors.Is(err, csv.ErrFieldCount):
		return rowError{File: t.file, Line: parse.Line, Value: "another number of fields", Want: fmt.Sprintf("%d, as in the header", t.width)}
	case errors.As(err, &parse):
		return rowError{File: t.file, Line: parse.Line, Column: parse.Column, Value: parse.Err.Error(), Want: "comma-separated values"}
	case errors.Is(err, errLongLine):
		return rowError{File: t.file, Line: line, Value: "a longer row than any trace has", Want: fmt.Sprintf("at most %d bytes", maxLine)}
	case t.gzipped && errors.Is(err, io.ErrUnexpectedEOF):
		return rowError{File: t.file, Line: line, Value: "the gzip data ends early", Want: "the whole file: fetch it again"}
	case t.gzipped && (errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader)):
		return rowError{File: t.file, Line: line, Value: err.Error(), Want: "intact gzip data: fetch the file again"}
	}
	return fmt.Errorf("%w: %s:%d: %w", ErrTrace, t.file, line, err)
}

// clip shortens a shown value.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

var errLongLine = errors.New("line too long")

// bounded ends a row that is longer than any trace's (an open quote may make one of the whole
// file), which would fill the memory.
type bounded struct {
	r   *bufio.Reader
	row int // bytes since the last row was asked for
}

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.row += n; b.row > maxLine {
		return n, errLongLine
	}
	return n, err
}
