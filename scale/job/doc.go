// Package job is the life of a training job, from its submission to its last GPU-second, as a state
// machine without a world: [Step] takes a state and an event to the next state and to commands, and
// [Judge] says what the end of a gang was. Nothing calls it yet; a workflow will, which carries out
// the commands and reports what came of them.
//
//	validated ─► queued ─► admitted ─► placed ─► barrier ─► running ⇄ checkpointing ─► succeeded
//	               ▲          │          │          │          │            │
//	               │          ▼          └──────────┴────┬─────┴────────────┘
//	               ├──── made room for,                  ▼ notice, grace, kill
//	               │     resized, resumed ◄────────── draining ───► failed, cancelled, timed-out
//	               └──── recovering ◄───────────────────┤
//	                     (pause after a failure)         └───► paused
//
// Words:
//
//	gang        the ranks of one attempt: they start together and end together
//	rank        one process tree of a gang, one on each node
//	generation  numbers gangs and requests for them; what carries another is ignored
//	attempt     a gang whose ranks were started
//	barrier     where ranks wait until all are there; the program starts behind it
//	notice      a gang is told to go, and until when: its grace
//	cause       why a job is in its phase; it is a field and not a phase
//	class       what the end of a gang was, by the evidence
//	echo        a rank that ended because the platform ended it
//
// What holds at every moment:
//
//   - What is at its end stays there.
//   - A job has one gang at most, and no second one before the first was released. It is released
//     once the process tree of every rank is gone, not when a signal was sent.
//   - What comes from another generation than the state's changes nothing: messages are late, doubled
//     and reordered.
//   - Unreachable is not failed: [Silence] is written down, and changes neither phase nor budget. Only
//     the end of a rank counts, or its node being lost, which somebody else has to confirm.
//   - A failure spends the budget of who is to blame, users or infrastructure. Making room, being
//     resized or paused spends none, and is followed by the head of the queue.
//
// Causes that tell a gang to go have a weight: an end of the job overrules a pause, a pause overrules
// an attempt more. A gang that trains gets notice and its grace; one that has not begun has nothing to
// save and is killed at once, as are the peers of a rank that failed.
//
// Failure cases. A rank fails: the first trouble in time on any rank decides, told by when a GPU, a node
// or the program itself reported it rather than by when the process ended. Not every rank arrives within
// [BarrierTimeout]: the gang is killed and tried elsewhere. Nothing moves: somebody who watches reports
// [Stuck] ([StuckAt] says when), and the gang is killed and started again, not twice at the same step. A
// kill is not obeyed: the job stays draining and its GPUs are not released. A budget is used up: the job
// fails with the class of the last failure. The clock jumps back: no time span is negative.
//
// Timers are moments, told by [Next]: queueTimeout until the first admission, maxRuntime over all gangs,
// deadline from submission, budget.maxGPUHours, the barrier, the grace, and the pause after a failure.
package job
