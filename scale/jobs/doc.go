// Package jobs decides which training jobs hold the GPUs of a pool: who is admitted, who has to
// make room, and why. It is pure: a [Snapshot] and what was learned so far go in, a [Plan] comes
// out, and the same inputs give the same plan. Applying it is somebody else's work. The platform
// and the simulator are planned for by the same function, [Stoker]; [Explain] says besides why who
// waits does.
//
//	jobs that ended ──► History ──► index of each job ──┐
//	jobs that left ───► Drains ──► who may borrow ──────┤
//	                                                    ▼
//	Snapshot: GPUs by right, nodes, queues, ──► Policy.Plan ──► Plan: steps, when to ask again
//	what inference lends, jobs                                  Waiting: why, who holds it, when
//
// # Words
//
//   - A job is a gang: it runs on all its GPUs or not at all. Its attempts are the times it did.
//
//   - Attained service is the time a job has held its GPUs, over all attempts.
//
//   - A preemption takes a running job's GPUs. The job waits again and has lost [Job.Loss].
//
//   - A job waits whenever it is there without GPUs, before its first attempt and between two.
//
//   - By right is what training has for itself; what inference lends comes on top, as loans.
//
//   - A job that was told to go leaves: it holds its GPUs until its processes are gone.
//
// No policy sees how long a job will run. scale/jobs/simulate has policies that do, to compare with.
//
// # Policies
//
//	fifo       in the order of submission, nobody passes a job that does not fit
//	fifo-skip  in the order of submission, those that fit pass those that do not
//	las        least attained service: two queues, of jobs below [LASThreshold] and of all others,
//	           in each whoever runs goes on, and then by submission; preemptive. Tiresias (Gu et
//	           al., NSDI 2019)
//	qssf       quasi-shortest service first: by expected GPU-seconds, learned from what jobs of the
//	           same user and name have taken; never preempts. Helios (Hu et al., SC 2021)
//	stoker     by the Gittins index of the learned distribution; preemptive where it is worth it
//
// # What stoker does
//
// Jobs' run times have heavy tails: the longer a job has run, the longer it will. The Gittins
// index (Gittins 1979) of a job that has attained a is the least, over all horizons d, of
//
//	expected service until it ends or d is over / probability that it ends within d
//
// given a and the distribution of its class; running whoever has the least is the best that can be
// done with one server and no knowledge but the distribution. A gang of n GPUs keeps n servers, so
// the index is multiplied by n to the power of [GangExponent]. Distributions are histograms of
// user and name, of user, of gang size and of all jobs; each begins as [PriorWeight] jobs of the
// next, so that a user's first jobs are judged as others' jobs were.
//
// Three rules keep it from preempting for little and from starving anybody:
//
//   - Indices are compared by the power of two they lie in, and of equals who runs goes on.
//   - An attempt is left alone until it has run [LossesWorked] times what its preemption would cost.
//   - Who has waited for [Patience] in all is overdue and goes before all others, until it ends:
//     the one that was submitted first whatever its size, further ones within [OverdueShare].
//     Until it fits nobody else is admitted. So everybody becomes the first at last, and a pool
//     with more work than it can do is still handed out by the index.
//
// # Order
//
// Each queue gets what it is guaranteed before any gets more; what is left over goes to the queue
// that has used least for its weight, where use counts half after [UsageHalfLife] and queues within
// the same power of two are level. In a queue overdue jobs come first, then it goes by priority and
// by the index. No queue holds more than its guarantee and its borrowing limit.
//
// # Making room
//
// A job that does not fit takes GPUs from running jobs behind it: but what a queue has by right it
// gives to its own jobs alone. Who runs on loans goes first, then who has the lowest priority, then
// who has least to lose since its last committed checkpoint, told apart by the power of two of the
// GPU-hours, then the last in the order. Who turns out not to be needed stays, and an elastic job
// becomes smaller rather than leave, if that is enough.
//
// GPUs of jobs that leave are kept for whom they are meant. Its admission is in each plan until
// then, marked [Step.Later], and whoever carries plans out waits until it is not any more.
//
// While an overdue job waits, others are admitted past it only if they can be preempted by the
// moment at which all that it needs can be: so its wait is bounded by [Patience] and by how long
// others are left alone. Where that hangs on jobs that are never preempted, the bound is [Backfill].
//
// # Loans
//
// The lender says how many GPUs may be on loan until when ([Offer]), from what it expects to need.
// A job borrows what it lacks by right, for as long as the longest offer of so many GPUs, if
//
//   - it may, is preemptible, and nine of ten times has left within the time it says to give back,
//   - that time is within the lender's tolerance, and
//   - the loan lasts for [LossesWorked] times what its end costs, and for leaving.
//
// What is on loan beyond the offers is recalled, with a moment at which who still holds it is to be
// killed; but if own GPUs are free they take its place, and nobody has to leave. A loan that is
// about to end is extended if the offers allow it. Loans become own GPUs when nobody waits for those.
// The books of loans are those of scale/jobs/loan.
//
// # Elastic jobs
//
// One is admitted with its smallest gang, and gets what is left over once all others had their
// turn. It grows while nobody waits, if the time that is expected to save is worth a restart. A job
// that was told to come back with another size does so first.
//
// One with a goal gets no more ranks than [Scaling] picks by it, from what was measured of the job, and
// gives up what it has beyond that. A goal takes nobody's GPUs: it grows into what is free. No attempt is
// ended for another size before it has run [LossesWorked] times what that costs.
//
// # Failure cases
//
// A job larger than the pool is never admitted, holds up nobody but under fifo, and is for the
// caller to reject; so is one whose queue does not exist. GPUs that vanish are a smaller pool: with more held than there are, those last
// in the policy's order are preempted, and fifo, fifo-skip and qssf, which never preempt, admit
// nobody until enough have ended. Without history all jobs are judged alike, by what they have attained.
package jobs
