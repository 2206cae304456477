package gateway

import "sync"

// door counts the callers inside and lets nobody in once it is closed.
type door struct {
	mu     sync.Mutex
	n      int
	closed bool
	empty  chan struct{} // made by close, closed when the last caller left
}

// enter tells whether the caller may come in; who does leaves again.
func (d *door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.n++
	return true
}

func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n--
	if d.closed && d.n == 0 {
		close(d.empty)
	}
}

// close lets nobody in any more, and returns what is closed when everybody left.
func (d *door) close() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed, d.empty = true, make(chan struct{})
		if d.n == 0 {
			close(d.empty)
		}
	}
	return d.empty
}

func (d *door) inside() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

func (d *door) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}
