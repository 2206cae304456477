package job_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/scale/job"
)

func TestParseProgramError(t *testing.T) {
	for text, want := range map[string]job.ProgramError{
		`{"message": {"message": "ValueError: x", "extraInfo": {"py_callstack": "Traceback …", "timestamp": "1767225600"}}}`: {
			Message: "ValueError: x", Stack: "Traceback …", At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		`{"message": {"message": "ValueError: x", "errorCode": 7, "extraInfo": {"timestamp": 1767225600}}}`: {
			Message: "ValueError: x", At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
		`{"message": {"message": "ValueError: x", "extraInfo": {"timestamp": "yesterday"}}}`: {Message: "ValueError: x"},
		`{"message": "Signal 11 (SIGSEGV) received by PID 7"}`:                               {Message: "Signal 11 (SIGSEGV) received by PID 7"},
	} {
		if got, err := job.ParseProgramError([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "{", "[]", "{}", `{"message": null}`, `{"message": {}}`, `{"message": ""}`, `{"message": 7}`, "\xff", strings.Repeat(" ", job.MaxErrorFile+1)} {
		if got, err := job.ParseProgramError([]byte(text)); !errors.Is(err, job.ErrProgramError) {
			t.Errorf("%.20q: %+v, %v", text, got, err)
		}
	}
}

// FuzzParseProgramError wants of any file an error, or a message and a moment that JSON can write.
func FuzzParseProgramError(f *testing.F) {
	f.Add([]byte(`{"message": {"message": "ValueError: x", "extraInfo": {"py_callstack": "y", "timestamp": "1767225600"}}}`))
	f.Add([]byte(`{"message": "x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := job.ParseProgramError(data)
		if err != nil {
			if !errors.Is(err, job.ErrProgramError) {
				t.Errorf("not an ErrProgramError: %v", err)
			}
			return
		}
		if e.Message == "" {
			t.Error("no message")
		}
		if _, err := e.At.MarshalJSON(); err != nil {
			t.Errorf("%v: %v", e.At, err)
		}
	})
}
