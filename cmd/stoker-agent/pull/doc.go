// Package pull decides what an agent asks the broker for: which class, how many, and
// whether to wait. It is pure. Events go in with the time they happened, and what to send
// comes out, so that a test can play the broker.
//
// The rules, most urgent class first:
//
//   - An agent asks for as many requests as it has free slots, never more.
//   - It empties the more urgent classes first, but after [FairAfter] pulls in a row from
//     more urgent classes it takes one from a less urgent one, so that batch never starves.
//   - Only when every class is empty does it leave one waiting ask open on each, for one
//     message. With three classes and one free slot at most two messages come too many:
//     the surplus. It is held for [HoldFor], in case a slot frees up, and given back.
//
// Words:
//
//	Ask      one pull request to the broker, for one class.
//	Waiting  an ask that stays open until a message comes; the others end at once.
//	Surplus  a message that came while no slot was free.
package pull
