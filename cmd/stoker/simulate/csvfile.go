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
)

// csvFile reads comma-separated values with a header, gzipped or not, row by row.
type csvFile struct {
	file    string // for messages
	rows    *csv.Reader
	bytes   *bounded
	gzipped bool
	width   int
	line    int // the last one that could be read
}

// open reads the header. Want is what a file should begin with. Errors match ErrTrace.
func (c *csvFile) open(file string, r io.Reader, want string) ([]string, error) {
	c.file = file
	in := bufio.NewReaderSize(r, maxLine)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		c.gzipped = true
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, c.broken(err)
		}
		in = bufio.NewReaderSize(z, maxLine)
	}
	c.bytes = &bounded{r: in}
	c.rows = csv.NewReader(c.bytes)
	c.rows.ReuseRecord = true
	header, err := c.rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, rowError{File: c.file, Value: "the file is empty", Want: want}
	}
	if err != nil {
		return nil, c.broken(err)
	}
	c.line, c.width = 1, len(header)
	return header, nil
}

// columnNames are the names in a header as they are compared.
func columnNames(header []string) []string {
	names := slices.Clone(header)
	for i := range names {
		names[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(names[i], "\ufeff")))
	}
	return names
}

// row is the next row, which is the caller's until the next call. The error is io.EOF after the
// last one, and matches ErrTrace where the file cannot be read on.
func (c *csvFile) row() ([]string, error) {
	c.bytes.row = 0
	rec, err := c.rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, c.broken(err)
	}
	c.line, _ = c.rows.FieldPos(0)
	return rec, nil
}

// amount reads a number that is not negative.
func (c *csvFile) amount(rec []string, column int, name string, most float64) (float64, error) {
	v, err := strconv.ParseFloat(rec[column], 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > most {
		return 0, c.wrong(rec, column, name, fmt.Sprintf("a number from 0 to %g", most))
	}
	return v, nil
}

// wrong is what is wrong with a field of the row read last.
func (c *csvFile) wrong(rec []string, column int, name, want string) error {
	line, at := c.rows.FieldPos(column)
	return rowError{File: c.file, Line: line, Column: at, Name: name, Value: strconv.Quote(clip(rec[column])), Want: want}
}

// columnAt is where a field of the header stands.
func (c *csvFile) columnAt(i int) int {
	_, at := c.rows.FieldPos(i)
	return at
}

// broken says what is wrong with the file itself.
func (c *csvFile) broken(err error) error {
	line := c.line + 1
	var parse *csv.ParseError
	switch {
	case errors.As(err, &parse) && errors.Is(err, csv.ErrFieldCount):
		return rowError{File: c.file, Line: parse.Line, Value: "another number of fields", Want: fmt.Sprintf("%d, as in the header", c.width)}
	case errors.As(err, &parse):
		return rowError{File: c.file, Line: parse.Line, Column: parse.Column, Value: parse.Err.Error(), Want: "comma-separated values"}
	case errors.Is(err, errLongLine):
		return rowError{File: c.file, Line: line, Value: "a longer row than any trace has", Want: fmt.Sprintf("at most %d bytes", maxLine)}
	case c.gzipped && errors.Is(err, io.ErrUnexpectedEOF):
		return rowError{File: c.file, Line: line, Value: "the gzip data ends early", Want: "the whole file: fetch it again"}
	case c.gzipped && (errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader)):
		return rowError{File: c.file, Line: line, Value: err.Error(), Want: "intact gzip data: fetch the file again"}
	}
	return fmt.Errorf("%w: %s:%d: %w", ErrTrace, c.file, line, err)
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
