package bench

import (
	"context"
	"sync"
	"time"

	"stoker.dev/stoker/functions"
)

// moments are when something next happened to each of some functions.
type moments struct {
	mu   sync.Mutex
	next map[functions.Key]chan time.Time
}

// expect begins to wait for the next moment of each function.
func (m *moments) expect(keys []functions.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		m.next = map[functions.Key]chan time.Time{}
	}
	for _, k := range keys {
		m.next[k] = make(chan time.Time, 1)
	}
}

// note is one: now. The first that was expected counts.
func (m *moments) note(k functions.Key) {
	now := time.Now()
	if c := m.awaited(k); c != nil {
		select {
		case c <- now:
		default: // a second replica of the same wake
		}
	}
}

// of waits for a function's moment; zero if ctx ends first.
func (m *moments) of(ctx context.Context, k functions.Key) time.Time {
	select {
	case at := <-m.awaited(k):
		return at
	case <-ctx.Done():
		return time.Time{}
	}
}

func (m *moments) awaited(k functions.Key) chan time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.next[k]
}
