package server

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
)

// How an attached server is watched: a connection on this machine costs both sides
// together some 0.1 ms (BenchmarkLook).
const (
	lookEvery  = 100 * time.Millisecond // who finds out late pulls requests that nobody can answer
	lookAgain  = 50 * time.Millisecond  // from a refusal to the second, which counts
	lookWithin = time.Second            // a server that is too busy to accept is no dead one
)

// refusals in a row tell that a server is gone. One may come while a listener is replaced.
const refusals = 2

// Attached is a model server that somebody else runs beside this process: in a Pod, the
// kubelet. It is neither started nor stopped here, and all that can be seen of it is its port.
type Attached struct {
	address string
	looks   singleflight.Group
	done    chan struct{} // it was found gone
	gone    sync.Once
	quit    chan struct{} // it is of no more interest
	left    sync.Once
}

// Attach returns the server on a loopback port, which need not listen yet.
func Attach(port int) *Attached {
	return &Attached{
		address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		done:    make(chan struct{}), quit: make(chan struct{}),
	}
}

// WaitReady is as [Server.WaitReady], except that a server which ends before it was ready does
// not show. From then on it is watched, until [Attached.Stop].
func (s *Attached) WaitReady(ctx context.Context, url string, timeout time.Duration) error {
	if err := waitReady(ctx, s, url, timeout); err != nil {
		return err
	}
	go s.watch()
	return nil
}

func (s *Attached) watch() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for !s.Look() {
		select {
		case <-ticker.C:
		case <-s.quit:
			return
		}
	}
}

// Look looks now whether the server, which was ready once, is gone: whether its port refuses
// connections, and does so again. It takes [lookAgain] if it is. Who looks at the same time
// shares the look.
func (s *Attached) Look() bool {
	gone, _, _ := s.looks.Do("", func() (any, error) { return s.look(), nil })
	return gone.(bool)
}

func (s *Attached) look() bool {
	for n := range refusals {
		if n > 0 {
			<-time.After(lookAgain)
		}
		if !s.refuses() {
			return false
		}
	}
	s.gone.Do(func() { close(s.done) })
	return true
}

// refuses tells whether nobody listens. Whatever else a connection fails of may pass.
func (s *Attached) refuses() bool {
	d := net.Dialer{Timeout: lookWithin}
	conn, err := d.DialContext(context.Background(), "tcp", s.address)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close()
	return false
}

// PID is 0: it is another container's.
func (s *Attached) PID() int { return 0 }

// Done is closed when the server was found gone.
func (s *Attached) Done() <-chan struct{} { return s.done }

// Exit says that nothing is known of it.
func (s *Attached) Exit() Exit { return Exit{Unseen: true} }

// Tail is empty: the server's output is its container's.
func (s *Attached) Tail() string { return "" }

// Stop ends the watch. The server itself is not ours to stop.
func (s *Attached) Stop(context.Context, time.Duration) error {
	s.left.Do(func() { close(s.quit) })
	return nil
}
