package controller

import (
	"errors"
	"testing"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
)

// TestLogsOfAnotherFunctionAreNotRead by naming its replica: a namespace's rights end at its border.
func TestLogsOfAnotherFunctionAreNotRead(t *testing.T) {
	r := newRig(t)
	mine := r.manifest("f", "")
	_, err := r.Apply(t.Context(), []functions.Function{mine}, false)
	must(t, err)
	for id, k := range map[string]functions.Key{"mine-1": mine.Key(), "theirs-1": {Namespace: "secret", Name: "g"}} {
		must(t, r.Provider.Start(t.Context(), activities.ReplicaSpec{ID: id, Key: k, Revision: "1", Spec: mine.Spec}))
	}
	own, err := r.Logs(t.Context(), mine.Key(), "mine-1", activities.LogOptions{})
	must(t, err)
	must(t, own.Close())
	for _, id := range []string{"theirs-1", "nobody-1"} {
		_, err := r.Logs(t.Context(), mine.Key(), id, activities.LogOptions{})
		if want := "no such replica: " + id; !errors.Is(err, activities.ErrNoReplica) || err.Error() != want {
			t.Errorf("logs of %s: %v, want %q", id, err, want)
		}
	}
}
