package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestABackupIsRestoredElsewhere takes a backup of a platform at work and restores it on a machine where none of its
// replicas runs: the GPUs they held are free again, requests accepted before are answered, and what was answered
// before is still there.
func TestABackupIsRestoredElsewhere(t *testing.T) {
	t.Parallel()
	p := harness.Up(t, harness.Options{GPUs: 1})
	f := p.Function("kept")
	f.Spec.Scaling.KeepAlive = "10m"
	f.Spec.Runtime.Env = append(f.Spec.Runtime.Env, functions.EnvVar{Name: "PLAIN", Value: "of the manifest"})
	p.Apply(f)
	answered := p.MustPublish(p.JetStream(), "kept", functions.Standard, "before")
	p.AwaitRecords("kept", []string{answered})
	holder := p.Get("kept").Replicas[0].ID
	if err := p.API.Pause(t.Context(), harness.Key("kept"), true); err != nil {
		t.Fatal(err)
	}
	var waiting []string
	for i := range 5 {
		waiting = append(waiting, p.MustPublish(p.JetStream(), "kept", functions.Standard, fmt.Sprint("waits ", i)))
	}
	file := filepath.Join(t.TempDir(), "stoker.tar.gz")
	stoker(t, p, "backup", file)

	dir := filepath.Join(t.TempDir(), "elsewhere")
	other := harness.New(t, harness.Options{GPUs: 1, Dir: dir})
	stoker(t, other, "restore", file)
	other.Start()
	harness.Eventually(t, "the lease of a replica that is not here given back", func() (bool, any) {
		status, err := other.API.Platform(t.Context())
		return err == nil && !held(status, holder), status.Leases
	})
	if err := other.API.Pause(t.Context(), harness.Key("kept"), false); err != nil {
		t.Fatal(err)
	}
	records := other.AwaitRecords("kept", append(waiting, answered))
	for id, rec := range records {
		if rec.Status != events.StatusOK {
			t.Errorf("%s ended with %s (%s: %s)", id, rec.Status, rec.Cause, rec.Message)
		}
	}
	if next := other.MustPublish(other.JetStream(), "kept", functions.Standard, "new"); next == answered || next == waiting[0] {
		t.Errorf("the id %s was given twice", next)
	}
	if err := other.API.Delete(t.Context(), harness.Key("kept")); err != nil {
		t.Fatal(err)
	}
	other.AwaitGone("kept")
}

// held tells whether a replica holds GPUs.
func held(p api.Platform, id string) bool {
	for _, l := range p.Leases {
		if l.Holder == id && l.State != scale.Released {
			return true
		}
	}
	return false
}
