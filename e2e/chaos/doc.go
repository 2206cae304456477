// Package chaos breaks a platform under load and writes down what happens, for package history to judge.
//
// One run is a platform of the harness with twenty functions on a few simulated GPUs, and beside it, each for itself:
//
//	client   publishes requests of three classes in four ways at a steady pace and notes every outcome, doubt included
//	witness  reads /proc and the ledger, and notes which processes live and who holds what
//	follower reads every terminal record as it is written: the stream keeps one for each request, and would hide a second
//	driver   follows a plan: SIGKILL, SIGSTOP for a while, restarts in a row, a deleted Temporal database
//
// At the end everything is put together: what the client saw, the model servers' own books, the provider's files, the
// terminal records as the broker stores them, what is left when all functions have come to zero by themselves, and what
// is left when they are deleted.
//
// # What a seed decides
//
// The plan: what is hit, in which order, after which pause, and which of the candidates; and the client's requests:
// their function, class, way, payload and deadline. A seed therefore repeats the same schedule. It does not repeat the
// same interleaving: which processes there are to choose from depends on the machine.
//
// # Failure cases
//
// A victim that does not come within [victimWait] is a hit that missed: it is noted and the plan goes on. A client
// that is answered nothing notes that it does not know. A platform that does not come back, and a function that does
// not come to rest at the end, fail the test as everywhere in the harness.
package chaos
