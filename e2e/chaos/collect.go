package chaos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/e2e/harness"
	"stoker.dev/stoker/e2e/history"
)

// serverBooks notes what the model servers wrote down themselves.
func serverBooks(p *harness.Platform, b *book) {
	kinds := map[string]history.Kind{"up": history.Holds, "begin": history.Began, "end": history.Ended, "quit": history.Quit, "conflict": history.Conflict}
	for i := range functionsN {
		for _, e := range p.Books(name(i)) {
			r := history.Record{Kind: kinds[e.What], At: e.At, ID: e.ID, Function: name(i), Replica: e.Replica, PID: e.PID}
			switch e.What {
			case "up":
				r.Devices = strings.Split(e.GPUs, ",")
			case "conflict":
				r.Devices = []string{e.Body}
			}
			b.note(r)
		}
	}
}

// providerBooks notes what the local provider's own files say of every replica it ever started.
func providerBooks(t *testing.T, p *harness.Platform, b *book) {
	files, err := filepath.Glob(filepath.Join(p.Dir, "replicas", "*", "run.json"))
	if err != nil {
		t.Error(err)
	}
	for _, path := range files {
		var rec struct {
			ID           string
			Key          struct{ Name string }
			Devices      []string
			Begun, Ended time.Time
			Cause        string
		}
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &rec)
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if rec.Begun.IsZero() {
			continue // it only forbids a start
		}
		b.note(history.Record{
			Kind: history.Replica, At: rec.Begun, Until: rec.Ended, Replica: rec.ID, Function: rec.Key.Name, Devices: rec.Devices, Cause: rec.Cause,
		})
	}
}
