package platform

import "sync"

// together makes one call of do serve everybody who asked before it began, as databases commit in groups: what
// many wrote at once is synced to the disk once. Its zero value with a do is ready.
type together struct {
	do func() error

	mu      sync.Mutex
	next    *round // that has not begun, which whoever comes now joins
	running sync.Mutex
}

// round is one call of do and what came of it.
type round struct {
	once sync.Once
	err  error
}

// call returns what a call of do returned that began after call did.
func (t *together) call() error {
	t.mu.Lock()
	if t.next == nil {
		t.next = &round{}
	}
	r := t.next
	t.mu.Unlock()
	r.once.Do(func() {
		t.running.Lock()
		defer t.running.Unlock()
		t.mu.Lock()
		t.next = nil
		t.mu.Unlock()
		r.err = t.do()
	})
	return r.err
}
