package platform

import (
	"sync"
	"time"
)

// Clock is what tells the time: the day's, which an operator or NTP may set at any moment, and
// one that only runs.
type Clock struct {
	Wall    func() time.Time
	Running func() time.Duration
}

// machine is the machine's own.
func machine() Clock {
	start := time.Now()
	return Clock{Wall: time.Now, Running: func() time.Duration { return time.Since(start) }}
}

// slew is the share of the time that went by, by which the steady clock runs faster or slower to
// meet the wall clock again: NTP's small steps are gone in seconds, an hour takes ten.
const slew = 10

// steady is a clock for whatever is measured from one moment to another, and kept where Go's own
// monotonic reading is lost: keep-alives, backoffs, reservations, silence. It never jumps and
// never goes back. When the wall clock is set, it catches up without any of these seeming to be
// over, or to have just begun.
type steady struct {
	clock Clock

	mu  sync.Mutex
	now time.Time
	at  time.Duration // of the running clock, at now
}

func newSteady(c Clock) *steady { return &steady{clock: c, now: c.Wall().Round(0), at: c.Running()} }

// Now is safe for concurrent use.
func (s *steady) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	wall, running := s.clock.Wall().Round(0), s.clock.Running()
	went := max(running-s.at, 0)
	next := s.now.Add(went)
	most := went / slew
	s.now, s.at = next.Add(min(max(wall.Sub(next), -most), most)), running
	return s.now
}
