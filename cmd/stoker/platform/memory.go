package platform

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"
)

// When an idle platform gives memory back. Go keeps as much free memory as it has in use, so that
// after a burst a quiet platform would hold twice what it needs, and what the burst left behind.
const (
	restEvery = 10 * time.Second
	// restBelow is the share of one core below which the platform is idle. At rest with a
	// thousand functions it uses a hundredth; a single request per second is above it.
	restBelow = 0.04
	// restWorth is how many bytes must have been allocated since the last time: a collection
	// costs some 100 ms of one core, and must not become what an idle platform costs.
	restWorth = 24 << 20
)

// How much a platform may allocate between two collections: twice what it uses, but not beyond
// headroom, and never less than Go's default. With that default a seventh of the time of a burst
// goes into collecting. More headroom than this is not given back in full when the platform is
// idle again: what lives on from the burst lies scattered among what was collected. GOGC overrides
// all of it.
const (
	leastGCPercent = 100
	mostGCPercent  = 200
	headroom       = 96 << 20 // bytes
	tuneEvery      = time.Second
)

// gcPercent is the percentage for what lives on.
func gcPercent(live uint64) int {
	return int(min(max(100*headroom/max(live, 1), leastGCPercent), mostGCPercent))
}

// keeper decides when memory goes back.
type keeper struct {
	cpu       time.Duration // used by the process, at the last look
	at        time.Time
	allocated uint64 // bytes, when memory went back last
}

// look tells whether it is time to give memory back, by what the process has used and allocated
// since its start.
func (k *keeper) look(now time.Time, cpu time.Duration, allocated uint64) bool {
	idle := !k.at.IsZero() && float64(cpu-k.cpu) < restBelow*float64(now.Sub(k.at))
	k.cpu, k.at = cpu, now
	if !idle || allocated-k.allocated < restWorth {
		return false
	}
	k.allocated = allocated
	return true
}

// keepMemory gives memory back whenever the platform is idle and it is worth it.
func (p *Platform) keepMemory(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		keep(inner)
	}()
	p.onClose(func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

func keep(ctx context.Context) {
	tick, tune := time.NewTicker(restEvery), time.NewTicker(tuneEvery)
	defer tick.Stop()
	defer tune.Stop()
	var k keeper
	var t tuner
	t.tune()
	for {
		select {
		case <-tune.C:
			t.tune()
		case now := <-tick.C:
			if k.look(now, processorTime(), allocatedBytes()) {
				debug.FreeOSMemory()
			}
		case <-ctx.Done():
			return
		}
	}
}

// tuner keeps the collector's percentage right for what lives on.
type tuner struct{ percent int }

func (t *tuner) tune() {
	want := gcPercent(measure("/gc/heap/live:bytes"))
	if os.Getenv("GOGC") == "" && want != t.percent {
		debug.SetGCPercent(want)
		t.percent = want
	}
}

func processorTime() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func allocatedBytes() uint64 { return measure("/gc/heap/allocs:bytes") }

// measure reads one of the runtime's metrics, a number of bytes.
func measure(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
