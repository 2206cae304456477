package local

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/providertest"
)

// TestTokensAreRenewedWhereReplicasLive, by the next platform too.
func TestTokensAreRenewedWhereReplicasLive(t *testing.T) {
	o := options(t)
	l := open(t, o)
	living, gone := spec(t, providertest.Serves), spec(t, providertest.Serves)
	run(t, l, living, 2)
	run(t, l, gone, 2)
	if err := l.Stop(t.Context(), gone.ID, 0); err != nil {
		t.Fatal(err)
	}
	awaitState(t, l, gone.ID, activities.RunGone)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, o)
	var seen []string
	err := l.RenewTokens(func(old string) (string, error) { seen = append(seen, old); return old + "-renewed", nil })
	if err != nil || !slices.Equal(seen, []string{"very-secret"}) {
		t.Errorf("renewed %q, %v", seen, err)
	}
	read := func() string {
		data, err := os.ReadFile(filepath.Join(o.Dir, living.ID, tokenFile))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	if got := read(); got != "very-secret-renewed" {
		t.Errorf("%q", got)
	}
	// One that cannot be renewed keeps what it has.
	broken := errors.New("broken")
	if err := l.RenewTokens(func(string) (string, error) { return "", broken }); !errors.Is(err, broken) || !strings.Contains(err.Error(), living.ID) || read() != "very-secret-renewed" {
		t.Errorf("%v, %q", err, read())
	}
}
