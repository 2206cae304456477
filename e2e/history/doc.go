// Package history proves promises from records of what happened. A load client, the model servers, a witness that
// reads /proc, the provider's files and the ledger each write down what they saw; [Check] reads all of it and names
// every contradiction to what the platform promises. It is pure: records in, violations out, no clock and no I/O.
//
//	client    sent → acked | refused | unknown, and answered           one request's way, as its publisher saw it
//	broker    stored, vanished                                         every terminal record that was ever written
//	server    holds → began → ended, quit, conflict                    a model server's own books
//	witness   process                                                  from when to when a process was seen alive
//	provider  replica                                                  the provider's own times, devices and cause
//	ledger    look                                                     the leases, as one look saw them
//	driver    fault, closing, complete, leftover                       what was done, and what is left at the end
//
// # What is known, and what is not
//
// A publish whose acknowledgement never came may have been accepted or not: it is unknown, and either outcome is
// right, as long as there is at most one record. A process was certainly alive between two looks that saw it, and
// nothing is said of the time around them. A look at the ledger has a beginning and an end and is true of some
// moment in between. The checker only reports what cannot be otherwise, so that every violation is one.
//
// # What is checked
//
// Promise 1, nothing accepted is lost: [Lost], [Twice], [RecordGone], [Late], [Unsent], [Contradicted], [Unrun], [RefusedButRun].
// Promise 4, a GPU has one holder: [GPUShared], [LeaseEarly], [BooksDiffer].
// Promise 5, unreachable is not failed: [Restarted].
// At the end nothing is left: [Leftover]. A history that stops in the middle proves nothing: [Incomplete].
package history
