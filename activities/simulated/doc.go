// Package simulated is a provider without machines: replicas start, get ready, crash and go as
// they are told, in real or in simulated time, the same way for the same seed. Tests and
// benchmarks use it to see everything above the provider, with nothing below it in the way.
//
// A [World] is the machines and what runs on them; a [Provider] looks at it and acts on it. As
// in a real one, replicas outlive a provider: a second one over the same world adopts them.
//
// A rank of a gang waits at its barrier; [World.Order] tells it what the broker tells its agent in a real world. Its
// steps and its share of the work pass with the time, and it commits a checkpoint when it is told to save or to go.
//
// # Failure cases
//
// A [Fate] says what becomes of one replica: refused at the start, never ready, crashed after a
// while, deaf to being asked to go. A node can be lost and returned: its replicas live on
// unseen, and what was asked of them meanwhile happens when the node is back. Not simulated:
// requests. [Options.Fill] is the seam for who wants to.
package simulated
