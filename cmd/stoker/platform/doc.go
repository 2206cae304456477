// Package platform puts the parts together: data directory, broker and Temporal (embedded or
// real ones elsewhere), ledger, provider, workers, controller and gateway, in one process with
// one HTTP port.
//
// Start brings them up in that order and returns once the platform is ready. Whatever fails,
// what was started before it is stopped again, and the error is one line. Stop goes the other
// way: no new work, requests in flight finish within the grace, replicas go, state is on disk.
// A platform that is killed instead leaves its replicas running; the next Start adopts them.
//
// While it runs it watches over its disk (storage.go): new work is refused while it could not be
// stored, and a broker that failed to write is restarted once it can.
package platform
