// Package training runs real training programs as the gangs of a job, without a platform: the smallest
// examples of docs/training.md, tinylm, PyTorch with gloo, and programs that misbehave. Its tests make each rank's
// environment with scale/job/contract, start the ranks as plain processes, give notice as an agent does, and
// judge what became of the gang with scale/job. So what is wrong with a program or with the contract shows
// here, in seconds, and not only in a test that starts servers too.
//
// [Python], [Program] and [Build] find what is run for tests of other packages as well.
package training
