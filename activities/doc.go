// Package activities touches the world for the workflows: it claims GPUs, starts and stops
// replicas through a [Provider], opens and closes a function's queue.
//
// Every activity is idempotent by the replica ID that its workflow minted: run twice, the
// second run is a no-op. None takes longer than a few seconds; what takes longer (a model
// loading, a replica draining) is begun here and reported by events.
//
//	StartReplicas   claim → start, for several replicas at once; then, after the starts of other
//	                functions that are coming ([Burst]), bind the claims and open the queue
//	DrainReplica    mark the lease draining, ask the replica to finish within its grace
//	StopReplica     kill what is left of it
//	ReleaseReplica  give the lease back, only once the provider says the whole tree is gone
//	CloseQueue      remove the consumers of a function at zero, unless requests came in
//
// Failure cases: no free GPU is an answer, not an error (who holds them goes with it); a
// provider that refuses a start (fenced, stopped before, no command) is an answer with a
// cause, and the lease is released; a broker or provider that cannot be reached is an error
// that the workflow's retry policy repeats; a replica whose tree still lives is
// [ErrStillRunning], retried until the provider says gone.
package activities
