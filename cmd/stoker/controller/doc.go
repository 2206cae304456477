// Package controller observes functions, lets package scale decide, and has the workflows make
// the decisions true.
//
//	wake (at zero) ─┐
//	heartbeats ─────┤                 scale.Decide                 one Update in flight
//	provider ───────┼─► one loop ──► per function, ──► state, CAS ──► per function ──► workflow
//	queue counts ───┤                 in memory                          │
//	API calls ──────┘ ◄───────────────── replicas minted, what blocks ◄──┘
//
// One goroutine owns all functions; whatever comes in is a closure posted to its inbox, and
// what takes time (key-value writes, Updates) runs outside and posts its outcome back. A
// function at zero has no goroutine, no timer and no consumer: one subscription to its wake
// subject is all.
//
// A function's way through the controller:
//
//	zero      subscribed to its wakes; the broker pushes the headers of a stored request
//	waking    still subscribed, so that a burst is counted while the first replica loads
//	awake     unsubscribed: a warm request sends the controller no message; the queue counts of
//	          the reconcile and the heartbeats of the agents say how much waits
//	to zero   subscribed and flushed first, then decided, drained and closed: a request that
//	          comes at any moment of it is seen by the wake, the close or the reconcile
//
// Failure cases. A lost wake: the reconcile counts every shard each 1.5 s. A lost heartbeat: the
// replica is silent, which is not failed; it keeps its lease and is not replaced while it can
// serve. A replica that ended unasked: an exit for scale to count. An Update that fails: repeated with backoff
// while the difference lasts. A restarted controller: state from key-value, replicas from the
// provider, the workflow told what lives. A lost Temporal database: the same, the workflow is
// made anew. Another controller on the same function: the compare-and-swap of the state fails,
// and this one reads the other's state before it goes on.
//
// What no agent can answer, the controller does: expired requests of a function without
// replicas, requests beyond the queue's depth, requests of a function that keeps crashing or
// is deleted. It writes their terminal record, then removes them.
package controller
