// Package workflows holds the Temporal lifecycles of stoker.
//
// One entity workflow per function, ID "function/<namespace>/<name>", carries the replicas
// of that function from the first decision to its deletion. It decides nothing: the
// controller sends decisions, made by package scale, with an epoch, and the workflow makes
// them true.
//
//	controller ──sync{decision, observed}──► Function ──activities──► ledger, provider, queue
//
// One Update, "sync", is level-triggered and idempotent: it carries the whole newest decision
// and what was observed of the replicas. A decision with an older epoch is refused before it
// is written to history. The handler answers once the step it caused is settled, so the
// controller learns the IDs that were minted.
//
// A step, in this order, each part an activity idempotent by the replica's ID:
//
//  1. kill      replicas that outstayed their grace
//  2. release   replicas that are gone
//  3. drain     the victims the decision names
//  4. start     as many of the wanted revision as the target lacks
//  5. close     the queue, at target zero with nothing left
//
// Replica phases: starting → loading → ready → draining → stopping → exited. An exit can come
// from any of them. A replica leaves the state once its lease is released.
//
// Failure cases. No free GPU: the step ends with Blocked set, and the next sync tries again.
// A start refused for good: the replica is exited with its cause, which the controller counts
// as a failure. An activity that cannot reach its world: retried by its policy, then by the
// next sync. A start of which nobody can tell whether it happened: repeated under the same IDs, which
// does nothing for what runs. A killed platform: Temporal resumes the step. A lost history: the controller
// starts the workflow anew and names the living replicas in Adopt.
//
// The run continues as new when the server suggests it, after its handlers have finished,
// with its state as the argument.
package workflows
