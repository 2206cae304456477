package e2e

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is a way to a server that can be cut. Certificates are for the address, not for the port.
type wire struct {
	ln     net.Listener
	copies sync.WaitGroup

	mu    sync.Mutex
	to    string
	cutUp bool
	open  map[net.Conn]bool
}

// newWire listens until the test ends. It leads nowhere before [wire.aim].
func newWire(t *testing.T) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{ln: ln, open: map[net.Conn]bool{}}
	w.copies.Go(w.accept)
	t.Cleanup(func() { w.ln.Close(); w.cut(); w.copies.Wait() })
	return w
}

// at is the address of this end.
func (w *wire) at() string { return w.ln.Addr().String() }

// aim leads to the server of a URL.
func (w *wire) aim(t *testing.T, server string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = u.Host
}

func (w *wire) target() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to
}

func (w *wire) accept() {
	for {
		near, err := w.ln.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("tcp", w.target())
		if err != nil || !w.keep(near, far) {
			near.Close()
			if far != nil {
				far.Close()
			}
			continue
		}
		w.copies.Go(func() { w.join(near, far) })
		w.copies.Go(func() { w.join(far, near) })
	}
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.open[c] = true
	}
	return !w.cutUp
}

// join copies until one side ends, and ends both.
func (w *wire) join(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, from)
}

// cut breaks what is open, and everything that is opened later, until [wire.mend].
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutUp = true
	for c := range w.open {
		c.Close()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutUp = false
}
