package simulate

import (
	"errors"
	"fmt"
)

var (
	// ErrTrace is returned for a trace that cannot be simulated.
	ErrTrace = errors.New("bad trace")
	// ErrProfile is returned for a profile that cannot be used.
	ErrProfile = errors.New("bad profile")
)

// rowError says where in a trace something is wrong.
type rowError struct {
	File         string
	Line, Column int // counted from 1; 0: the whole file, the whole line
	Name         string
	Value        string
	Want         string
}

// Unwrap returns ErrTrace.
func (e rowError) Unwrap() error { return ErrTrace }

// Error is "file:line:column: name: value; want …".
func (e rowError) Error() string {
	at := e.File
	if e.Line > 0 {
		at += fmt.Sprintf(":%d", e.Line)
	}
	if e.Column > 0 {
		at += fmt.Sprintf(":%d", e.Column)
	}
	what := e.Value
	if e.Name != "" {
		what = e.Name + ": " + what
	}
	return fmt.Sprintf("%s: %s; want %s", at, what, e.Want)
}
