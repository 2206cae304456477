// Package dispatch takes training jobs in, observes them, lets scale/jobs plan who holds which GPUs,
// and tells their workflows.
//
//	submissions ─────┐                     scale/jobs                 Tell
//	heartbeats ──────┤                ┌──► who is admitted, ──► events ───► workflow of each job
//	provider ────────┼─► one loop ────┤    recalled, resized              │ scale/job: phases, commands
//	ledger ──────────┤   all jobs     └──► what ranks report ───► events  │ activities: place, start,
//	shortage of      │                                                    │ open, notice, kill, release
//	inference ───────┘ ◄──────────────────── news of every step ──────────┘
//
// One goroutine owns all jobs, as the controller's owns all functions; what takes time runs beside it
// and posts its outcome back. A job's state is its workflow's. What is kept here is a copy, stored in
// key-value with the receipts of its attempts, so that a job can be looked at after Temporal has
// forgotten it, and a workflow whose history was lost begins where it was.
//
// Whatever the loop tells a workflow is repeated until the workflow has it, and is derived anew from
// provider and heartbeats after a restart, so nothing is lost when either side dies in between.
//
// What jobs have on loan is in a book of its own, stored with each step of a loan: see scale/jobs/loan. How
// many GPU-seconds that comes to is counted by the meter, which is told of each change.
//
// Failure cases. A rank whose agent says nothing, a status that cannot be had, a platform that is
// down: nothing follows from any of them; the gang trains on, and is found again under the same
// process IDs. A rank is at its end only when its provider says that its whole tree is gone. A plan
// that lost a race for GPUs against inference: the gang is not placed, and waits at the head of its
// queue. A submission that was stored and whose workflow was not started: the restart starts it. One of
// several jobs that was cut off in the middle: nothing of it is taken (batch.go). Two
// submissions of one name: the second is refused, unless it is the same event or the same manifest.
package dispatch
