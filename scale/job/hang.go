package job

import (
	"time"

	"stoker.dev/stoker/functions"
)

// StuckPauses is how many times its usual pause between two reports a gang may be silent, whatever stuck.after
// of the manifest says: steps that take ten minutes are no hang after five.
const StuckPauses = 20

// StuckAt is when a gang counts as hung that has moved last at a moment, and usually does so in such a time.
// For as long as a rank cannot be reached nobody knows, and the moment is to be taken for the last one that
// all of them could be.
func StuckAt(s functions.Stuck, moved time.Time, usual time.Duration) time.Time {
	return moved.Add(max(s.After.D(), StuckPauses*usual))
}
