package platform

import (
	"testing"
	"time"
)

func TestMemoryGoesBackWhenIdleAndWorthIt(t *testing.T) {
	var k keeper
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	cpu, allocated := time.Duration(0), uint64(0)
	for i, c := range []struct {
		used  time.Duration // in the next restEvery
		bytes uint64        // allocated in it
		want  bool
	}{
		{0, 4 * restWorth, false},                // the first look knows no rate
		{restEvery, restWorth, false},            // busy
		{restEvery / 10, restWorth, false},       // a little busy
		{restEvery / 1000, 0, true},              // the burst is over
		{restEvery / 1000, restWorth / 2, false}, // not worth it
		{restEvery / 1000, restWorth / 2, true},  // by now it is
		{restEvery / 1000, restWorth - 1, false}, // not quite
		{2 * restEvery, 1, false},                // busy again
		{restEvery / 1000, 0, true},              // what was allocated meanwhile still counts
	} {
		cpu, allocated, now = cpu+c.used, allocated+c.bytes, now.Add(restEvery)
		if got := k.look(now, cpu, allocated); got != c.want {
			t.Errorf("look %d: %v, want %v", i, got, c.want)
		}
	}
}

func TestHeadroomIsBounded(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 200}, {1 << 20, 200}, {48 << 20, 200}, {64 << 20, 150}, {96 << 20, 100}, {1 << 30, 100}} {
		if got := gcPercent(c.live); got != c.want {
			t.Errorf("%d MiB live: %d %%, want %d", c.live>>20, got, c.want)
		}
	}
}

func TestProcessIsMeasured(t *testing.T) {
	var sink [][]byte
	before, bytes, deadline := processorTime(), allocatedBytes(), time.Now().Add(time.Minute)
	moved := func() bool { return processorTime() > before && allocatedBytes() >= bytes+1<<20 }
	for !moved() && time.Now().Before(deadline) {
		sink = append(sink[:0], make([]byte, 1<<20))
	}
	if !moved() || len(sink) == 0 {
		t.Errorf("neither time (%v) nor memory (%d) moved", processorTime()-before, allocatedBytes()-bytes)
	}
}
