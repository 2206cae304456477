// Package e2e tests the whole of stoker: the system on real parts (an embedded or a real NATS server, a real
// Temporal server, real processes), and the rules of the repository itself: which folder may import which, what
// the pure packages must not touch, which verbs and examples the documents may name.
package e2e
