// Package bench measures the platform on this machine: `stoker bench`.
//
// Everything runs in one process with the embedded servers, in a temporary directory, and what
// is compared is measured in the same run: absolute times on a shared machine say little, the
// ratio to a floor says much. Reports hold raw percentiles, sample counts and the load average.
//
//	zero  functions at rest, one event each: event → start, event → answer, and beside it the
//	      floor of the parts it stands on, an empty Update → activity on the same server, and
//	      with --at-once as many of them at once as functions woke
package bench
