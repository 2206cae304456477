// Package jobs decides which training jobs hold the GPUs of a pool: who is admitted, who has to
// make room, and why. It is pure: a [Snapshot] and what was learned so far go in, a [Plan] comes
// out, and the same inputs give the same plan. Applying it is somebody else's work.
//
//	jobs that ended ──► History ──► index of each job ──┐
//	                                                    ▼
//	Snapshot: GPUs, jobs waiting and running ──► Policy.Plan ──► Plan: steps, when to ask again
//
// # Words
//
//   - A job is a gang: it runs on all its GPUs or not at all. Its attempts are the times it did.
//   - Attained service is the time a job has held its GPUs, over all attempts.
//   - A preemption takes a running job's GPUs. The job waits again and has lost [Job.Loss].
//   - A job waits whenever it is there without GPUs, before its first attempt and between two.
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
// # Failure cases
//
// A job larger than the pool is never admitted, holds up nobody but under fifo, and is for the
// caller to reject. GPUs that vanish are a smaller pool: with more held than there are, those last
// in the policy's order are preempted, and fifo, fifo-skip and qssf, which never preempt, admit
// nobody until enough have ended. Without history all jobs are judged alike, by what they have attained.
package jobs
