package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"stoker.dev/stoker/e2e/harness"
)

// stoker runs a verb of the CLI that must succeed and returns its standard output.
func stoker(t *testing.T, p *harness.Platform, args ...string) string {
	t.Helper()
	out, stderr, code := tryStoker(t, p, args...)
	if code != 0 {
		t.Fatalf("stoker %v: exit code %d\n%s", args, code, stderr)
	}
	return out
}

// tryStoker runs a verb of the CLI.
func tryStoker(t *testing.T, p *harness.Platform, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*harness.Patience)
	defer cancel()
	cmd := p.Command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("stoker %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// decode reads loosely typed JSON into a type.
func decode[T any](t *testing.T, from any) T {
	t.Helper()
	var out T
	data, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatalf("%T: %v: %s", out, err, data)
	}
	return out
}
