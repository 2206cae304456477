package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/demo"
	"stoker.dev/stoker/e2e/harness"
)

// demoRequests is a burst smaller than the demo's own.
const demoRequests = "12"

// TestDemo runs the demo as the README tells people to: it trains the real model, serves it, and scales from zero and
// back.
func TestDemo(t *testing.T) {
	t.Parallel()
	bin := harness.Bin(t, harness.Stoker)
	harness.Bin(t, harness.Agent)
	harness.Bin(t, harness.TinyLM)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "demo", "--json", "--requests", demoRequests)
	tmp := t.TempDir()
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + tmp, "TMPDIR=" + tmp}
	var out, progress bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &progress
	if err := cmd.Run(); err != nil {
		t.Fatalf("stoker demo: %v\n%s", err, progress.String())
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatalf("standard output is not one JSON object: %v\n%s", err, out.String())
	}
	for _, name := range []string{
		"requests_sent", "requests_answered", "loss_first", "loss_last", "event_to_start_ms", "cold_start_ms", "replicas_max", "replicas_end",
	} {
		if _, ok := fields[name]; !ok {
			t.Errorf("no %s in %s", name, out.String())
		}
	}
	r := decode[demo.Report](t, fields)
	if r.RequestsSent < 12 || r.RequestsAnswered != r.RequestsSent {
		t.Errorf("%d requests sent, %d answered", r.RequestsSent, r.RequestsAnswered)
	}
	if r.LossFirst <= 0 || r.LossLast <= 0 || r.LossLast > 0.8*r.LossFirst {
		t.Errorf("loss from %.3f to %.3f: the model learned nothing", r.LossFirst, r.LossLast)
	}
	if r.EventToStartMS <= 0 || r.ColdStartMS < r.EventToStartMS {
		t.Errorf("event to start %.1f ms, cold start %.1f ms", r.EventToStartMS, r.ColdStartMS)
	}
	if r.ReplicasMax < 2 || r.ReplicasEnd != 0 {
		t.Errorf("%d replicas at most and %d at the end, want some and none", r.ReplicasMax, r.ReplicasEnd)
	}
	if s := r.GPUSeconds; s.Useful <= 0 || s.Cold <= 0 {
		t.Errorf("GPU-seconds %+v: none were useful, or none were a cold start", s)
	}
	if progress.Len() == 0 {
		t.Error("no progress was shown")
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "stoker*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
