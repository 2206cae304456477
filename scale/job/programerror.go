package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrProgramError is returned for an error file that is not as torch writes it.
var ErrProgramError = errors.New("error file cannot be read")

// MaxErrorFile is the size of an error file in bytes: a stack of a few hundred frames.
const MaxErrorFile = 256 << 10

// ProgramError is what a program wrote about its own end, in the file $TORCHELASTIC_ERROR_FILE.
type ProgramError struct {
	Message string    `json:"message"` // such as "ValueError: bad batch"
	Stack   string    `json:"stack,omitempty"`
	At      time.Time `json:"at,omitzero"` // in whole seconds, by the clock of its node
}

// ParseProgramError reads an error file: {"message": {"message": …, "extraInfo": {"py_callstack":
// …, "timestamp": "…"}}} as torch's record decorator writes, or {"message": "…"} as its handlers of
// native errors do. Errors match ErrProgramError.
func ParseProgramError(data []byte) (ProgramError, error) {
	if len(data) > MaxErrorFile {
		return ProgramError{}, fmt.Errorf("%w: %d bytes, at most %d are read", ErrProgramError, len(data), MaxErrorFile)
	}
	if !utf8.Valid(data) {
		return ProgramError{}, fmt.Errorf("%w: not UTF-8", ErrProgramError)
	}
	var file struct {
		Message json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return ProgramError{}, fmt.Errorf("%w: %w", ErrProgramError, err)
	}
	var plain string
	if json.Unmarshal(file.Message, &plain) == nil {
		return ProgramError{Message: plain}, messageThere(plain)
	}
	var full struct {
		Message string `json:"message"`
		Extra   struct {
			Stack string          `json:"py_callstack"`
			Time  json.RawMessage `json:"timestamp"` // a number, or a number in quotes
		} `json:"extraInfo"`
	}
	if err := json.Unmarshal(file.Message, &full); err != nil {
		return ProgramError{}, fmt.Errorf("%w: message: %w", ErrProgramError, err)
	}
	e := ProgramError{Message: full.Message, Stack: full.Extra.Stack}
	if seconds, err := strconv.ParseInt(strings.Trim(string(full.Extra.Time), `"`), 10, 64); err == nil && seconds > 0 && seconds <= maxUnix {
		e.At = time.Unix(seconds, 0).UTC()
	}
	return e, messageThere(e.Message)
}

// maxUnix is the end of the year 9999, the last that JSON writes as a time.
const maxUnix = 253402300799

func messageThere(message string) error {
	if message == "" {
		return fmt.Errorf("%w: no message in it", ErrProgramError)
	}
	return nil
}
