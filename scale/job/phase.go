package job

// Phase is where a job is in its life.
type Phase string

// The phases. From the last five a job never leaves.
const (
	Validated     Phase = "validated"     // submitted, its queue has not confirmed it yet
	Queued        Phase = "queued"        // waits for admission
	Admitted      Phase = "admitted"      // GPUs are reserved for its gang
	Placed        Phase = "placed"        // its ranks are being started
	Barrier       Phase = "barrier"       // some ranks are there and wait for the others
	Running       Phase = "running"       // the whole gang trains
	Checkpointing Phase = "checkpointing" // the same, and a checkpoint is being written
	Draining      Phase = "draining"      // its ranks were told to go, and not all are gone
	Recovering    Phase = "recovering"    // holds nothing, waits out the pause after a failure
	Paused        Phase = "paused"        // holds nothing until people let it go on

	Succeeded Phase = "succeeded"
	Failed    Phase = "failed"
	Cancelled Phase = "cancelled"
	TimedOut  Phase = "timed-out"
	Rejected  Phase = "rejected"
)

// Phases lists them in the order of a job's life. The caller owns the slice.
func Phases() []Phase {
	return []Phase{
		Validated, Queued, Admitted, Placed, Barrier, Running, Checkpointing, Draining, Recovering, Paused,
		Succeeded, Failed, Cancelled, TimedOut, Rejected,
	}
}

// Terminal tells whether a job is at its end.
func (p Phase) Terminal() bool {
	switch p {
	case Succeeded, Failed, Cancelled, TimedOut, Rejected:
		return true
	default:
		return false
	}
}

// Holds tells whether a job may hold GPUs.
func (p Phase) Holds() bool {
	switch p {
	case Admitted, Placed, Barrier, Running, Checkpointing, Draining:
		return true
	default:
		return false
	}
}

// Trains tells whether the whole gang is at work.
func (p Phase) Trains() bool { return p == Running || p == Checkpointing }
