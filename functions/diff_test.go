package functions_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

func TestDiff(t *testing.T) {
	old := functions.Function{Metadata: functions.Metadata{Name: "f"}}
	old.Spec.Runtime.Local = &functions.Local{Command: []string{"serve", "--old"}}
	old.Spec.Runtime.Env = []functions.EnvVar{{Name: "A", Value: "secret"}}
	old.Spec.Scaling.Max = 2
	old = functions.Default(old)
	now := old
	now.Spec.Runtime.Local = &functions.Local{Command: []string{"serve"}}
	now.Spec.Runtime.Env = []functions.EnvVar{{Name: "A", Value: "other"}}
	now.Spec.Scaling.Max = 3
	now.Spec.Scaling.Budget = functions.Budget{PerDay: "20", Action: functions.BudgetCap}
	now.Spec.Overload.Shed = []functions.Class{}
	want := []functions.Change{
		{Path: "spec.runtime.env[0].value", Old: functions.HiddenValue, New: functions.HiddenValue, Rolls: true},
		{Path: "spec.scaling.max", Old: "2", New: "3"},
		{Path: "spec.scaling.budget.perDay", New: "20"},
		{Path: "spec.scaling.budget.action", New: "cap"},
		{Path: "spec.overload.shed", New: "0 entries"},
		{Path: "spec.runtime.local.command[1]", Old: "--old", Rolls: true},
		{Path: "spec.overload.shed[0]", Old: "batch"},
		{Path: "spec.overload.shed[1]", Old: "standard"},
	}
	if got := functions.Diff(old, now); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestDiffTellsWhatRolls: a field that rolls differs exactly where the revision does.
func TestDiffTellsWhatRolls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := functions.Default(anyFunction(t)), functions.Default(anyFunction(t))
		if rapid.Bool().Draw(t, "same runtime") {
			b.Spec.Runtime, b.Spec.Resources, b.Spec.Placement, b.Spec.Scaling.Slots = a.Spec.Runtime, a.Spec.Resources, a.Spec.Placement, a.Spec.Scaling.Slots
		}
		rolls := false
		for _, c := range functions.Diff(a, b) {
			rolls = rolls || c.Rolls
		}
		if differ := functions.Revision(a.Spec) != functions.Revision(b.Spec); rolls != differ {
			t.Errorf("revisions differ: %v, a change that rolls: %v", differ, rolls)
		}
		if changes := functions.Diff(a, a); len(changes) > 0 {
			t.Errorf("a manifest differs from itself: %+v", changes)
		}
	})
}
