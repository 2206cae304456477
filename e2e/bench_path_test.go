package e2e

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"stoker.dev/stoker/cmd/stoker/bench"
	"stoker.dev/stoker/e2e/harness"
)

// TestBenchPath runs a short measurement and looks whether its figures fit together, never how good they are.
func TestBenchPath(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	harness.Bin(t, harness.Agent)
	cmd := exec.CommandContext(t.Context(), harness.Bin(t, harness.Stoker), "bench", "path", "--callers", "2", "--rounds", "2", "--each", "100ms", "--json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + temp}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderrOf(err))
	}
	var r bench.PathReport
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Callers != 2 || r.Rounds != 2 || r.Slots != bench.PathSlots || r.LoadAverage == "" {
		t.Errorf("report %+v", r)
	}
	checkPathFigures(t, r)
	for _, name := range []string{"direct", "raw", "stoker", "publish", "http"} {
		checkWay(t, name, r.Ways[name])
	}
	for _, name := range []string{"direct", "stoker", "http"} {
		if w := r.Streaming.Ways[name]; w.Samples < 40 || w.ChunksRate <= 0 || w.FirstChunk.P50 <= 0 || w.FirstChunk.P50 > w.FirstChunk.P99 {
			t.Errorf("streams, %s: %+v", name, w)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func checkPathFigures(t *testing.T, r bench.PathReport) {
	t.Helper()
	direct, raw, stoker := r.Ways["direct"], r.Ways["raw"], r.Ways["stoker"]
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"direct_rps", r.DirectRPS, direct.RPS},
		{"raw_rps", r.RawRPS, raw.RPS},
		{"stoker_rps", r.StokerRPS, stoker.RPS},
		{"floor_rps", r.FloorRPS, 1 / (1/raw.RPS + 1/direct.RPS)},
		{"ratio_to_floor", r.RatioToFloor, stoker.RPS / r.FloorRPS},
		{"ratio_to_direct", r.RatioToDirect, stoker.RPS / direct.RPS},
		{"added_ms.p50", r.Added.P50, stoker.Times.P50 - direct.Times.P50},
		{"added_ms.p99", r.Added.P99, stoker.Times.P99 - direct.Times.P99},
	} {
		if math.Abs(c.got-c.want) > 1e-6*math.Abs(c.want) {
			t.Errorf("%s is %v, its parts make %v", c.name, c.got, c.want)
		}
	}
}

func checkWay(t *testing.T, name string, w bench.Way) {
	t.Helper()
	if w.Samples < 2 || len(w.RoundsRPS) != 2 || !slices.Contains(w.RoundsRPS, w.RPS) {
		t.Errorf("%s: %d samples, rounds %v, median %v", name, w.Samples, w.RoundsRPS, w.RPS)
	}
	if q := w.Times; q.P50 <= 0 || q.P50 > q.P99 || q.P99 > q.Max {
		t.Errorf("%s: quantiles %+v", name, q)
	}
	if w.CPU["total"] <= 0 {
		t.Errorf("%s: CPU %v", name, w.CPU)
	}
}

// stderrOf is what a program said that failed.
func stderrOf(err error) string {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return string(failed.Stderr)
	}
	return ""
}
