package simulated

import (
	"math/rand/v2"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
)

// Defaults of [Options].
const (
	DefaultGPUs    = 8
	DefaultProduct = "Simulated"
	DefaultMemory  = 80 << 30 // bytes
	DefaultBeat    = time.Second
)

// Options describe a world. The zero Options are one node of eight GPUs where every replica is
// ready at once and stays.
type Options struct {
	Nodes   int           // default 1; they are named "node-0" on
	GPUs    int           // per node, default DefaultGPUs; negative: none
	Product string        // default DefaultProduct
	Memory  uint64        // bytes per GPU, default DefaultMemory
	Seed    uint64        // of every chance in this world
	Clock   Clock         // default real time
	Every   time.Duration // between heartbeats of one replica, default DefaultBeat; negative: only on a change of phase

	// Fate says what becomes of a replica; nil: the zero Fate. The dice are the replica's own,
	// so its fate does not depend on what else starts.
	Fate func(r activities.ReplicaSpec, dice *rand.Rand) Fate
	// OnStart is called first thing in every call of Start, for a benchmark to take the time.
	OnStart func(activities.ReplicaSpec)
	// Beat takes what the replica's agent would publish; nil: nobody listens.
	Beat func(events.Heartbeat)
	// Fill adds to a heartbeat before it goes out what a simulation of requests knows: in
	// flight, pending, totals.
	Fill func(*events.Heartbeat)
}

func (o Options) complete() Options {
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.GPUs == 0 {
		o.GPUs = DefaultGPUs
	}
	if o.Product == "" {
		o.Product = DefaultProduct
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Clock == nil {
		o.Clock = realTime{}
	}
	if o.Every == 0 {
		o.Every = DefaultBeat
	}
	if o.Fate == nil {
		o.Fate = func(activities.ReplicaSpec, *rand.Rand) Fate { return Fate{} }
	}
	return o
}

// Fate is what becomes of one replica.
type Fate struct {
	Refuse   error         // Start returns it, and nothing runs
	Spawn    time.Duration // from the start until its processes run
	Load     time.Duration // from then until it is ready; negative: never; a rank is once its barrier is open
	Crash    time.Duration // from ready until it crashes; 0: never
	Drain    time.Duration // from being asked to go until it is gone
	Deaf     bool          // goes only when killed
	ExitCode int           // of the crash; 0: 1
	Output   []string      // lines it writes once it runs
	Steps    float64       // of a rank's program, per second
	Finish   time.Duration // from the barrier until a rank's program ends well; 0: never
}

// Uniform is a delay between two bounds.
func Uniform(dice *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(dice.Int64N(int64(high-low)))
}
