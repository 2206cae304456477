package natsd

import (
	"context"
	"fmt"
	"net"

	"github.com/nats-io/nats-server/v2/server"
)

// Restart stops the broker and starts it again on the same port and directory. A stream whose
// disk refused one write takes no further one until it is read anew, so once there is room again
// this is the way back. Clients reconnect by themselves, those in this process too; what was
// acknowledged is on disk and is there afterwards.
func (s *Server) Restart(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.ended {
		return fmt.Errorf("%w: it was stopped for good", ErrStart)
	}
	if err := end(ctx, s.server()); err != nil {
		return err
	}
	ns, log, err := boot(ctx, s.o, s.known)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns, s.log = ns, log
	return nil
}

// server is the one that runs, or the last one that did.
func (s *Server) server() *server.Server {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ns
}

// InProcessConn lets the client library come back to the broker of the day: it asks for a new
// connection whenever it has lost the old one.
func (s *Server) InProcessConn() (net.Conn, error) { return s.server().InProcessConn() }

// Healthy tells whether messages are still taken. The server turns JetStream off by itself where
// it may not write, and a stream takes nothing more after a write that failed: disk full, no
// file descriptor left, file system read-only.
func (s *Server) Healthy() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.ns.JetStreamEnabled() {
		return fmt.Errorf("%w: see the log for the reason", ErrUnhealthy)
	}
	if failed := s.log.writeFailure(); failed != "" {
		return fmt.Errorf("%w: %s", ErrUnhealthy, failed)
	}
	return nil
}
