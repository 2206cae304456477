package simulated

import (
	"slices"
	"sync"
	"time"
)

// Clock is the time a world lives in.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once d has passed, unless the returned stop is called before.
	AfterFunc(d time.Duration, f func()) (stop func())
}

type realTime struct{}

func (realTime) Now() time.Time { return time.Now() }

func (realTime) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

// Manual is a clock that stands still until it is moved. It is safe for concurrent use.
type Manual struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer // by time, then by the order they were set in
}

type timer struct {
	at time.Time
	f  func()
}

// NewManual returns a clock that stands at now.
func NewManual(now time.Time) *Manual { return &Manual{now: now} }

// Now implements [Clock].
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// AfterFunc implements [Clock]. Even with no delay f waits for the next Advance.
func (m *Manual) AfterFunc(d time.Duration, f func()) func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &timer{m.now.Add(max(d, 0)), f}
	i, _ := slices.BinarySearchFunc(m.timers, t, func(have, want *timer) int {
		if have.at.After(want.at) {
			return 1
		}
		return -1 // behind those of the same time
	})
	m.timers = slices.Insert(m.timers, i, t)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.timers = slices.DeleteFunc(m.timers, func(have *timer) bool { return have == t })
	}
}

// Advance moves the clock and calls what falls due on the way, in order, each at its time.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	end := m.now.Add(d)
	for len(m.timers) > 0 && !m.timers[0].at.After(end) {
		t := m.timers[0]
		m.timers = m.timers[1:]
		m.now = t.at
		m.mu.Unlock()
		t.f()
		m.mu.Lock()
	}
	m.now = end
	m.mu.Unlock()
}
