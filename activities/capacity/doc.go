// Package capacity writes the ledger of a pool: who holds which GPU. The arithmetic is package
// scale's; this one makes it durable and lets many callers share one writer.
//
// Operations queue up while a write is under way and go out together in the next, so a burst of
// reservations costs a few writes, not one each. Each write is a compare-and-swap on the
// ledger's key: with a second writer the loser reads again and applies its batch anew, so
// reserved ≤ capacity holds whoever writes.
//
// # Failure cases
//
// Every operation is idempotent by its holder. A write whose answer is lost may have happened:
// the caller gets an error, tries again, and finds its lease. A platform that is killed between
// reserving and binding leaves a reservation behind: [Writer.Adopt] binds it if its replica
// runs, and otherwise ends it once it ran out. Only Adopt ends reservations, since only the
// provider knows whether a start happened. A ledger that contradicts itself is not written
// over: every operation fails with [scale.ErrInvariant].
package capacity
