// Package cost attributes every GPU-second of a pool: to the function that held the GPU, or to
// the pool where nobody did, and to a cause. The parts add up to what was provisioned, devices ×
// time, to the nanosecond; there is no residual.
//
//	ledger ──Advance──► spans of leases and of the free pool ──► rows, one a minute
//	                         │ unknown at first
//	agents ──Explain──►──────┘ moved to useful, cold, idle, draining
//
// A span that a lease covers is booked as unknown, and explained by what the replica's agent
// says that it spent since its last word, oldest span first. What was held before the agent's
// first word is cold; what is held after its last one is draining. What nobody explains within
// [Explainable] stays unknown.
//
// Causes, a closed set:
//
//	useful    at least one request in flight; of a training job: its program runs
//	cold      reserved, starting or loading
//	idle      ready, nothing in flight
//	draining  on the way out
//	unknown   held by a function or a job, or perhaps so, and nobody could say what for
//	free      nobody holds the GPU
//	foreign   something outside of the platform holds it
//	unusable  sick, or on a node out of reach
//	down      the platform did not run, and nobody held the GPU before or after
//
// A training job is an account like a function; its program is useful while it trains. GPUs that it
// has on loan are charged to it as all others are, and counted beside that: [Meter.Lend] says how
// many of a job's there are from now on, whichever they be.
//
// The package is pure, as all of scale: the [Meter] is a value that is kept between calls and
// encoded by its owner.
package cost
