// Package natsd is the embedded broker: a NATS server with JetStream on disk, on loopback unless
// it is told otherwise, which knows who its clients are (see roles.go), keeps those who are not
// the platform's own in an account of their own (see accounts.go), and hands the platform an
// in-process connection.
package natsd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/cmd/stoker/embedded/natsd/verify"
)

const (
	loopback   = "127.0.0.1"
	serverName = "stoker"

	account = "$G" // the platform's, which has all streams: its name is that of a directory

	// maxPayload bounds one message, in bytes. 8 MiB carries an image or a long context and
	// is the most that the server accepts without a warning; larger inputs go by reference.
	maxPayload = 8 << 20

	// maxMemory bounds memory streams, in bytes. The platform makes none; the server's own
	// default would allow three quarters of the machine's memory.
	maxMemory = 256 << 20

	// maxStore is no limit on purpose, in bytes: every stream has its own bound and the data
	// directory is checked for room. The default, three quarters of what is free, would make
	// it depend on the disk whether a stream can be created.
	maxStore = 1 << 40

	// tlsTimeout bounds a handshake; the server's own two seconds are short on a busy machine.
	tlsTimeout = 10 * time.Second

	// readyTimeout covers the recovery of large streams after a power cut.
	readyTimeout = 60 * time.Second
)

// DefaultSyncInterval is how often JetStream fsyncs what it wrote. A killed process loses nothing
// either way (writes reach the kernel before they are acknowledged); a power cut loses at most
// this much. Every message on its own (0) would cost 95 % of the throughput (1-2k/s instead of
// 31k/s measured), the server's default is two minutes.
const DefaultSyncInterval = 2 * time.Second

// PlatformInbox is the prefix under which answers to the platform itself arrive. Agents may
// answer there, clients cannot listen there, unlike on _INBOX.
const PlatformInbox = "_R.stoker"

// Sentinels of this package.
var (
	// ErrStart is returned when the server did not come up; the message is the server's own.
	ErrStart = errors.New("embedded NATS did not start")
	// ErrUnhealthy is returned when JetStream has stopped taking messages: disk full or broken.
	ErrUnhealthy = errors.New("JetStream takes no messages")
)

// Options of the embedded broker. StoreDir, Port, Keeper, AgentKey and Logger are needed.
type Options struct {
	StoreDir string      // JetStream's directory
	Host     string      // where it listens; empty: loopback. Elsewhere only with TLS
	Port     int         // -1 picks a free one
	TLS      *tls.Config // with the server's certificate; nil: plain text
	Keeper   Keeper      // knows the users
	AgentKey []byte      // verifies agent tokens
	Revoked  map[string]time.Time
	Now      func() time.Time // nil: the clock
	Logger   *slog.Logger

	SyncInterval time.Duration // 0: every message before it is acknowledged
	AcceptLoss   bool          // start without what is damaged, and keep it aside
}

// Server is a running broker. It is safe for concurrent use.
type Server struct {
	o     Options                 // with the port it got
	fsync func(path string) error // [fsync]; tests look at what is synced
	life  sync.Mutex              // of restarting and stopping

	mu    sync.RWMutex
	ns    *server.Server
	log   *bridge
	known *known
	ended bool // under life; there is no way back
}

// Start returns once the broker accepts connections and its streams are recovered. Files that a
// killed broker cannot have left are refused before the server touches them: [verify.ErrDamaged].
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := inspect(o); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Host == "" {
		o.Host = loopback
	}
	k := &known{o: o, secret: rand.Text(), revoked: maps.Clone(o.Revoked)}
	ns, log, err := boot(ctx, o, k)
	if err != nil {
		return nil, err
	}
	o.Port = ns.Addr().(*net.TCPAddr).Port
	return &Server{o: o, fsync: fsync, ns: ns, log: log, known: k}, nil
}

// boot starts one server, or leaves none.
func boot(ctx context.Context, o Options, k *known) (*server.Server, *bridge, error) {
	r := &roles{known: k, opened: make(chan struct{})}
	ns, err := server.NewServer(options(o, r))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	log := &bridge{log: o.Logger}
	ns.SetLoggerV2(log, false, false, false)
	ns.Start()
	r.guests, err = openBorder(ns)
	close(r.opened)
	if err == nil {
		err = awaitReady(ctx, ns, log)
	}
	if err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, nil, err
	}
	return ns, log, nil
}

func options(o Options, r *roles) *server.Options {
	so := &server.Options{
		ServerName: serverName, Host: o.Host, Port: o.Port, NoSigs: true,
		JetStream: true, StoreDir: o.StoreDir, SyncInterval: o.SyncInterval, SyncAlways: o.SyncInterval == 0,
		JetStreamMaxMemory: maxMemory, JetStreamMaxStore: maxStore, MaxPayload: maxPayload,
		CustomClientAuthentication: r, AlwaysEnableNonce: true, // users may sign with nkeys
	}
	if o.TLS != nil {
		so.TLS, so.TLSConfig, so.TLSTimeout = true, o.TLS, tlsTimeout.Seconds()
	}
	return so
}

func awaitReady(ctx context.Context, ns *server.Server, log *bridge) error {
	// Start has tried to listen and to recover the streams by now.
	if fatal := log.fatalMessage(); fatal != "" {
		return fmt.Errorf("%w: %s", ErrStart, fatal)
	}
	if !ns.ReadyForConnections(readyTimeout) {
		return fmt.Errorf("%w within %v", ErrStart, readyTimeout)
	}
	if !ns.JetStreamEnabled() {
		return fmt.Errorf("%w: %w: see the log for the reason", ErrStart, ErrUnhealthy)
	}
	return ctx.Err()
}

// URL is what clients and agents on this machine connect to.
func (s *Server) URL() string {
	scheme, host := "nats", s.o.Host
	if s.o.TLS != nil {
		scheme = "tls"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = loopback
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(s.o.Port))
}

// Connect opens an in-process connection with full access.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	base := []nats.Option{nats.InProcessServer(s), nats.Token(s.known.secret), nats.CustomInboxPrefix(PlatformInbox)}
	nc, err := nats.Connect("", append(base, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the embedded NATS: %w", err)
	}
	return nc, nil
}

// Shutdown flushes the streams and ends; agents keep trying to come back. It returns early,
// with ctx's error, when that takes longer than ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	s.ended = true
	well := s.Healthy() == nil && s.server().Running()
	if err := end(ctx, s.server()); err != nil || !well {
		return err
	}
	return s.noteGoodEnd()
}

// noteGoodEnd tells the next run that all is written. A broker that had given up before has not.
func (s *Server) noteGoodEnd() error {
	streams, err := verify.Streams(s.o.StoreDir)
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	if err := (lastRun{Boot: bootID(), Clean: true, Streams: streams}).write(s.o.StoreDir); err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	return nil
}

func end(ctx context.Context, ns *server.Server) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ns.Shutdown()
		ns.WaitForShutdown()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("embedded NATS is still stopping: %w", ctx.Err())
	}
}
