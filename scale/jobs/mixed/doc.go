// Package mixed runs requests and training jobs on the same GPUs: the simulators of scale/simulate
// and scale/jobs/simulate on one clock. Like both it is pure.
//
//	requests ──► scale/simulate: replicas on the GPUs inference is guaranteed
//	                  │ wants, holds                    ▲ GPUs that are not lent
//	                  ▼                                 │
//	             loan.Demand ──► offers ──► jobs.Stoker ──► loans, recalls
//	                                            ▲
//	jobs ──► scale/jobs/simulate: gangs on their own GPUs, and on those that are lent
//
// # What is simulated
//
//   - Inference has so many GPUs by right, and jobs have the others. Without loans the two do not meet.
//   - With loans, jobs borrow what inference is expected to leave idle ([loan.Demand]). Inference
//     that lacks GPUs recalls some, and gets them once their jobs have drained: the replica it
//     wanted is started only then.
//   - Offers are made anew whenever jobs are planned, and each minute.
//   - When the requests have ended nothing is lent any more, and no job is submitted: what GPUs
//     would gain that nobody else wants is not counted.
//
// Inference does not borrow from training here.
package mixed
