package platform

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// hands is a clock that a test sets.
type hands struct {
	mu      sync.Mutex
	wall    time.Time
	running time.Duration
}

func (h *hands) clock() Clock {
	return Clock{
		Wall:    func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.wall },
		Running: func() time.Duration { h.mu.Lock(); defer h.mu.Unlock(); return h.running },
	}
}

// run lets time go by.
func (h *hands) run(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running, h.wall = h.running+d, h.wall.Add(d)
}

// set moves the wall clock alone.
func (h *hands) set(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wall = h.wall.Add(d)
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// However the wall clock is set, the steady clock goes forward by what went by, give or take a tenth.
func TestSteadyClockNeverJumps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &hands{wall: noon}
		s := newSteady(h.clock())
		last := s.Now()
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			went := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "went"))
			h.set(time.Duration(rapid.Int64Range(-int64(48*time.Hour), int64(48*time.Hour)).Draw(t, "set")))
			h.run(went)
			now := s.Now()
			if moved := now.Sub(last); moved < went-went/slew || moved > went+went/slew {
				t.Fatalf("%v went by and it moved by %v", went, moved)
			}
			last = now
		}
	})
}

func TestSteadyClockMeetsTheWallAgain(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 3 * time.Millisecond} {
		h := &hands{wall: noon}
		s := newSteady(h.clock())
		h.set(jump)
		for range 11 * 60 {
			h.run(time.Minute)
			s.Now()
		}
		if off := h.wall.Sub(s.Now()); off != 0 {
			t.Errorf("eleven hours after a jump of %v it is %v off", jump, off)
		}
	}
}
