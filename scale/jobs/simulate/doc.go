// Package simulate runs a trace of training jobs through a scheduling policy and says what came
// of them: a discrete-event simulation over the very plans of scale/jobs.
//
// Like scale it is pure. The same jobs, GPUs and overhead give the same figures.
//
// # What is simulated
//
//   - A pool of whole GPUs that are all alike. A job gets as many as it asks for, wherever they are.
//   - A job ends when it has run for its duration, on all its GPUs. A preemption adds the overhead
//     to what it has left: what it does again since its checkpoint, and the restart.
//   - The policy is asked whenever jobs come or end, and at the moment it asked for itself. At one
//     moment jobs end before others come. Decisions take no time.
//   - Where jobs need time to leave ([Config.Drain]), they hold their GPUs meanwhile and do nothing. Who is
//     admitted on GPUs that others leave waits until they are free.
//   - A [World] goes step by step, and may be offered loans: scale/jobs/mixed does both.
//   - A job that the trace says was killed or failed runs for as long as it did.
//
// Not simulated: placement and the network between nodes, failures, start times, elastic sizes.
//
// # What is counted
//
//	jct         job completion time: from submission to the end
//	wait        of that, the time without GPUs; before the first attempt and after preemptions
//	makespan    from the first submission to the last end
//	utilisation GPU-seconds held, overhead included, of those there were in the makespan
//	lost        GPU-seconds that preemptions cost
//
// # Policies that know
//
// srtf (shortest remaining time first) and srgt (shortest remaining GPU-time first) know how long
// each job will run, which nobody does. They are what others are compared with. Both preempt.
package simulate
