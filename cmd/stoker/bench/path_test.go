package bench

import (
	"math"
	"testing"
	"time"
)

func TestPathReportAddsUp(t *testing.T) {
	measured := map[string]*samples{
		wayDirect: {rates: []float64{30, 10, 20}, times: []time.Duration{time.Millisecond, 2 * time.Millisecond}},
		wayRaw:    {rates: []float64{30, 31, 29}, times: []time.Duration{time.Millisecond}},
		wayStoker: {rates: []float64{5, 6, 7}, times: []time.Duration{5 * time.Millisecond, 9 * time.Millisecond}, cpu: cpuTimes{"agent": 0.5, "worker": 1e-7}},
	}
	r := reportPath(PathOptions{Callers: 2, Rounds: 3}, measured)
	if r.DirectRPS != 20 || r.RawRPS != 30 || r.StokerRPS != 6 {
		t.Errorf("rates %v, %v, %v: want the medians 20, 30 and 6", r.DirectRPS, r.RawRPS, r.StokerRPS)
	}
	if math.Abs(r.FloorRPS-12) > 1e-9 || math.Abs(r.RatioToFloor-0.5) > 1e-9 || math.Abs(r.RatioToDirect-0.3) > 1e-9 {
		t.Errorf("floor %v, ratios %v and %v: want 12, 0.5 and 0.3", r.FloorRPS, r.RatioToFloor, r.RatioToDirect)
	}
	if r.Added.P50 != 9-2 || r.Added.P99 != 9-2 {
		t.Errorf("added %+v", r.Added)
	}
	if cpu := r.Ways[wayStoker].CPU; len(cpu) != 2 || cpu["agent"] != 250_000 || math.Abs(cpu["total"]-250_000.05) > 1e-6 {
		t.Errorf("CPU %v: want 0.5 s for two requests, and nothing of what rounds to nothing", cpu)
	}
}

func TestStreamsAreSummed(t *testing.T) {
	r := reportStreaming(map[string][]streamed{"http": {
		{first: time.Millisecond, whole: time.Second}, {first: 3 * time.Millisecond, whole: 2 * time.Second}, {first: 2 * time.Millisecond, whole: time.Second},
	}})
	if w := r.Ways["http"]; w.Samples != 3 || w.ChunksRate != streamChunks || w.FirstChunk.P50 != 2 || w.FirstChunk.Max != 3 {
		t.Errorf("%+v", w)
	}
}

func TestCPUIsOfProcesses(t *testing.T) {
	if _, err := (processes{"nobody": -1}).cpu(); err == nil {
		t.Error("a process that is not there has used nothing")
	}
	before := cpuTimes{"agent": 1.25}
	if got := (cpuTimes{"agent": 1.5}).since(before); got["agent"] != 0.25 {
		t.Errorf("%v", got)
	}
}
