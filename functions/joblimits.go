package functions

import "time"

// Limits of training jobs.
const (
	// MaxNodes is where the ranks of one gang still fit into one workflow's state, at some hundred
	// bytes each, and its start into one batch of the ledger.
	MaxNodes = 1024
	// MaxPriority leaves room between any two priorities that people think of.
	MaxPriority = 1000
	// MaxJobSpan is the longest time a job can name: a quarter of a year, beyond the longest
	// training runs that were written about.
	MaxJobSpan = 90 * 24 * time.Hour
	// MaxJobGrace is the longest notice: a checkpoint of a terabyte over a slow link.
	MaxJobGrace = time.Hour
	// MaxCheckpointInterval is a day: who loses more than that does not need checkpoints.
	MaxCheckpointInterval = 24 * time.Hour
	// MaxCheckpoints bounds what listing and clearing a checkpoint directory takes.
	MaxCheckpoints = 1000

	minJobSpan            = time.Second      // a queue answers within one
	minStuckAfter         = 10 * time.Second // agents say each second how a rank is, and some of that may be late
	minJobGrace           = time.Second      // agents count the grace in seconds
	minCheckpointInterval = time.Second      // below it a job does little else
	maxGiveBackSeconds    = 2 * int(MaxJobGrace/time.Second)
	maxURIBytes           = 2048 // what browsers and object stores take
	maxExitCodes          = 16   // of one meaning
	maxNotices            = 8    // each is a request to somebody else's server per event

	minStepsPerSecond Quantity = "0.001" // a step each quarter of an hour, longer than any that was written about
	maxStepsPerSecond Quantity = "1M"    // beyond what a line of progress could tell apart

	minGPUHours Quantity = "0.001"
	maxGPUHours Quantity = "1G" // above MaxNodes × MaxGPUs × MaxJobSpan
)
