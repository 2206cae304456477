// Package loan keeps the books of GPUs that inference lends to training jobs: what is on loan, how
// each loan was given back and how long every part of that took, and what lenders are owed. It is
// pure, and a [Book] is plain data that a workflow or a store can keep.
//
//	lent ──► recalled ──► noticed ──► saved ──► released
//	  │          │           │                     ▲
//	  │          └───────────┴─────────────────────┤   who saves nothing
//	  └────────────────────────────────────────────┘   who ends or leaves by itself
//
// # Words
//
//   - A loan is GPUs of a lender that one attempt of a job holds until a moment. It has the attempt's ID.
//   - It is recalled when the lender wants it back, and has a deadline from then on.
//   - The borrower has noticed when it was told, has saved when a checkpoint was committed since, and
//     has released when no process of it is left. The time from recall to release is the give-back.
//   - A loan that is not released at its deadline is overdue, and its borrower is to be killed.
//   - The credit of a lender is the GPU time it has lent.
//
// # Failure cases
//
// States only go forward: what is reported twice or too late changes nothing, and a release says
// that all before it has happened or never will. A part of a loan can be released, by an elastic job
// that becomes smaller; it counts as a loan that was given back, and the rest is lent on. Clocks that go
// back count nothing. The book remembers the newest [KeptLoans] loans that were released, and the
// credits of all.
package loan
