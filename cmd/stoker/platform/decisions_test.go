package platform

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// TestDecisionsAreKeptUntilTheFileIsFull across restarts, and made again they are the same.
func TestDecisionsAreKeptUntilTheFileIsFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "decisions.jsonl")
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, nil))
	q := scale.Question{
		Spec:        scale.Spec{Revision: "r", Max: 3, Slots: 1, GPUs: 1},
		Observation: scale.Observation{Pending: map[functions.Class]int{functions.Standard: 2}, FreeGPUs: 4},
		Now:         time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC),
	}
	_, made := scale.Decide(q.Spec, q.State, q.Observation, q.Now)
	key := functions.Key{Namespace: "default", Name: "chat"}
	for range 2 {
		d, err := openDecisions(path, log)
		if err != nil {
			t.Fatal(err)
		}
		d.add(key, q, made)
		if err := d.file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	full, err := openDecisions(path, log)
	if err != nil {
		t.Fatal(err)
	}
	defer full.file.Close()
	full.size = maxDecisions - 1
	full.add(key, q, made)
	full.add(key, q, made)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	if len(lines) != 3 || strings.Count(said.String(), "the file is full") != 1 {
		t.Fatalf("%d decisions are kept, and said is %q; want 3, and that the file is full, once", len(lines), said.String())
	}
	for _, line := range lines {
		var r scale.Recorded
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if anew, same, err := r.Again(); err != nil || !same || r.Function != "default/chat" {
			t.Errorf("%s: %v: made again %+v, recorded %+v", r.Function, err, anew, r.Decision)
		}
	}
}
