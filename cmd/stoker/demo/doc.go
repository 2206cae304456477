// Package demo is `stoker demo`: the main job on one machine, with nothing installed first.
//
// It starts a platform in a temporary directory, trains the tiny language model of cmd/tinylm,
// deploys it by manifest at zero, publishes a burst of events, shows replicas appear, an answer
// stream in and the function go back to zero, and tells what that took. Everything in it is
// what a user would run; the figures are read from the platform's own records.
package demo
