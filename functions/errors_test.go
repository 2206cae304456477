package functions_test

import (
	"errors"
	"fmt"
	"testing"

	"stoker.dev/stoker/functions"
)

func TestErrorsAreAnErrorOnlyIfThereAreSome(t *testing.T) {
	if err := functions.Errors(nil).Err(); err != nil {
		t.Errorf("no errors are the error %v", err)
	}
	err := fmt.Errorf("apply: %w", functions.Errors{
		{Path: "spec", Err: functions.ErrRequired},
		{File: "a.yaml", Line: 3, Path: "kind", Value: `"Job"`, Err: functions.ErrUnsupported, Allowed: "Function", Hint: "change it"},
	}.Err())
	if !errors.Is(err, functions.ErrRequired) || !errors.Is(err, functions.ErrUnsupported) || errors.Is(err, functions.ErrSyntax) {
		t.Errorf("errors.Is does not tell the faults of %v", err)
	}
	const want = "apply: spec: missing\na.yaml:3: kind: not supported: \"Job\"\n    allowed: Function\n    hint: change it"
	if err.Error() != want {
		t.Errorf("got:\n%s\nwant:\n%s", err, want)
	}
	var one functions.FieldError
	if !errors.As(err, &one) || one.Path != "spec" {
		t.Errorf("errors.As finds %+v", one)
	}
}

// TestValidateNeedsNoFile checks a function made by a program, of which all is missing.
func TestValidateNeedsNoFile(t *testing.T) {
	errs := functions.Validate(functions.Default(functions.Function{}))
	want := []string{"metadata.name", "spec.runtime"}
	if len(errs) != len(want) {
		t.Fatalf("got %v", errs)
	}
	for i, fe := range errs {
		if fe.Path != want[i] || fe.Err != functions.ErrRequired || fe.Line != 0 {
			t.Errorf("got %+v, want %s missing", fe, want[i])
		}
	}
}
