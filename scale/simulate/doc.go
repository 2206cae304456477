// Package simulate runs a trace of requests through a scaling policy and counts what it
// would have cost: a discrete-event simulation over the very [scale.Decide] of production,
// beside the policies others ship.
//
// Like scale it is pure: arrivals come in one by one, in the order of their times, and
// figures come out. The same arrivals, settings and seed give the same figures. Times are
// durations since the trace's own zero. Memory is bounded by functions, replicas and what
// is in flight, never by how many requests a trace has.
//
//	arrivals ──► World ──► function: queue ──► replicas with slots ──► waits, GPU-seconds
//	               │            │  ▲
//	               │     View   ▼  │ Order: target, victims, next look
//	               │          Policy (stoker's Decide, a timer, Knative's rules …)
//	               └── one clock for all functions, and one pool of GPUs if it is bounded
//
// # What is simulated
//
//   - Each function has one queue, first come first served. A request waits until a slot of
//     a ready replica takes it, then occupies the slot for its service time. Replicas with
//     free slots take turns, as agents do that pull from one queue.
//   - A replica that is started is cold for a time drawn from the profile, the n-th start of
//     a function for every policy the same; then it is ready. One told to go finishes what
//     it holds, for as long as that takes, and is gone.
//   - A policy looks when its [Family] says so: at once when a request comes and no replica
//     is ready (production's push at zero), when a replica becomes ready or is gone, at the
//     moment it asked for, and after other changes at the next beat of its clock. stoker's
//     beat is the heartbeat of its agents, a second: requests in between are counted and
//     handed over together, as in production.
//   - Where the pool has a bound and GPUs are short, they are shared by the very [scale.Shares] of
//     production, once a second; all GPUs are taken to be alike. Other policies take what is free.
//   - What a minimum holds is ready when the trace begins: it was there before anybody asked.
//   - Accounting begins with the first arrival of the trace and ends when the last request
//     has ended; what would idle on after that is left out for all alike.
//
// Not simulated: failures, deadlines and shedding, retries, priorities, rollouts, the time
// an exit takes, and the milliseconds that decisions and messages need.
//
// # What is counted
//
//	useful      replica-seconds with at least one request in flight, draining included
//	cold        replica-seconds from start to ready, or to the order to go
//	idle        replica-seconds ready with nothing in flight; the three add up to gpu_seconds
//	wait        from arrival to a slot
//	cold start  of a request: it found no ready replica
//	attainment  share of requests whose wait was within the objective's
//	peak        always on, as many replicas as the busiest moment takes for every request to
//	            begin at once: provisioning for the highest demand
//	fixed       always on, the fewest replicas that meet the objective, found with hindsight:
//	            the busiest moments are among the requests that may be late
//	oracle      a bound that no schedule is below
//
// All times GPUs per replica, where they are GPU-seconds.
package simulate
