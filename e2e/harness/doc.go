// Package harness runs the real thing for tests: the built programs as processes of their own, each `stoker up` in
// a data directory of its own, killed and started again as a test likes.
//
// Nothing outlives its test. Every process of a platform carries a mark that names the data directory; what is
// left after a drain fails the test, and what is left after the test is killed.
package harness
