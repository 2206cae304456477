package simulate

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process has used of all cores until now, the garbage collector's part too. Rates are
// by it, since a simulation shares its machine with others.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil { // never, with these arguments
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
