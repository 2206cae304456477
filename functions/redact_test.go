package functions_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
)

func TestRedactHidesValuesAndLeavesTheOriginal(t *testing.T) {
	spec := functions.Spec{Runtime: functions.Runtime{Env: []functions.EnvVar{
		{Name: "TOKEN", Value: "hunter2"},
		{Name: "EMPTY"},
		{Name: "REF", ValueFrom: &functions.EnvSource{SecretKeyRef: &functions.SecretKeyRef{Name: "hub", Key: "token"}}},
	}}}
	shown, err := json.Marshal(functions.Redact(spec))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), "hunter2") || !strings.Contains(string(shown), `"hub"`) {
		t.Errorf("shown: %s", shown)
	}
	if spec.Runtime.Env[0].Value != "hunter2" {
		t.Error("the original was changed")
	}
}

// What was shown and is applied again must not put the placeholder in the place of the value.
func TestAHiddenValueIsNotDeployed(t *testing.T) {
	manifest := `{"apiVersion":"stoker.dev/v1","kind":"Function","metadata":{"name":"a"},
		"spec":{"runtime":{"image":"a","env":[{"name":"TOKEN","value":"` + functions.HiddenValue + `"}]}}}`
	_, err := functions.Parse("shown.json", []byte(manifest))
	if !errors.Is(err, functions.ErrValue) || !strings.Contains(err.Error(), "spec.runtime.env[0].value") {
		t.Errorf("got %v, want the value refused", err)
	}
}
