package functions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is the kind of thing that is wrong with a manifest. Faults are constants and
// comparable, so errors.Is finds them in a FieldError and in a whole list.
type Fault string

// Error makes a Fault an error.
func (f Fault) Error() string { return string(f) }

// The faults, one of which every FieldError carries.
const (
	// ErrSyntax is returned when a document is neither YAML nor JSON.
	ErrSyntax Fault = "not readable"
	// ErrTooLarge is returned when an input, a document or its nesting is above its limit.
	ErrTooLarge Fault = "too large"
	// ErrUnsupported is returned for another kind or apiVersion, and for YAML that manifests do without.
	ErrUnsupported Fault = "not supported"
	// ErrUnknownField is returned for a field that the manifest's kind does not have.
	ErrUnknownField Fault = "unknown field"
	// ErrDuplicate is returned when a field, a function or a list entry is given twice.
	ErrDuplicate Fault = "given twice"
	// ErrType is returned when a value has the wrong shape, such as a text where a number belongs.
	ErrType Fault = "wrong type"
	// ErrRequired is returned when a field that has no default is missing.
	ErrRequired Fault = "missing"
	// ErrValue is returned when a value is outside what is allowed.
	ErrValue Fault = "not allowed"
	// ErrConflict is returned when two fields contradict each other.
	ErrConflict Fault = "contradiction"
)

// maxShownValue is the number of characters of an offending value that a message shows:
// enough to recognise it, and a message stays on one line.
const maxShownValue = 60

// FieldError is one thing wrong with one field.
type FieldError struct {
	File    string `json:"file,omitempty"`    // as handed to Parse; empty from Validate
	Line    int    `json:"line,omitempty"`    // counted from 1; 0 from Validate
	Path    string `json:"path,omitempty"`    // such as spec.runtime.env[2].name; empty: the whole document
	Value   string `json:"value,omitempty"`   // as written, quoted if a text, shortened; empty: none, or kept secret
	Err     Fault  `json:"error"`             // what kind of fault it is
	Allowed string `json:"allowed,omitempty"` // what may stand there
	Hint    string `json:"hint,omitempty"`    // what to do next

	with string // the path of the other field of a contradiction
}

// Unwrap returns the fault, for errors.Is.
func (e FieldError) Unwrap() error { return e.Err }

// Error is "file:line: path: fault: value", and below it, indented, what is allowed and
// what to do next.
func (e FieldError) Error() string {
	var b strings.Builder
	if e.File != "" {
		fmt.Fprintf(&b, "%s:", e.File)
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:", e.Line)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	b.WriteString(string(e.Err))
	if e.Value != "" {
		fmt.Fprintf(&b, ": %s", e.Value)
	}
	if e.Allowed != "" {
		fmt.Fprintf(&b, "\n    allowed: %s", e.Allowed)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "\n    hint: %s", e.Hint)
	}
	return b.String()
}

// Errors is everything wrong with an input, in the order of its lines. Parse returns it
// as its error: errors.As finds it, errors.Is finds the faults in it.
type Errors []FieldError

// Error joins the texts of the errors, one or more lines each.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, fe := range e {
		texts[i] = fe.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap returns the errors one by one, for errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, fe := range e {
		out[i] = fe
	}
	return out
}

// Err is e as an error, and nil if there is none: an empty Errors is no error.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// of names the file that the errors are about, and ends the list after MaxErrors.
func (e Errors) of(file string) Errors {
	if more := len(e) - MaxErrors; more > 0 {
		e = append(e[:MaxErrors:MaxErrors], FieldError{
			Line: e[MaxErrors].Line, Err: ErrTooLarge, Value: fmt.Sprintf("%d more errors", more), Hint: "mend these first",
		})
	}
	for i := range e {
		e[i].File = file
	}
	return e
}

// sort orders by line, then path, so that the same input gives the same text.
func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b FieldError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), comparePaths(a.Path, b.Path))
	})
}

// comparePaths orders env[2] before env[10].
func comparePaths(a, b string) int {
	return cmp.Or(cmp.Compare(strings.Count(a, "."), strings.Count(b, ".")), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// shorten cuts a shown value to maxShownValue characters.
func shorten(s string) string {
	runes := []rune(s)
	if len(runes) <= maxShownValue {
		return s
	}
	return string(runes[:maxShownValue]) + "…"
}
