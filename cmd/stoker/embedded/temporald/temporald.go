// Package temporald is the embedded Temporal server: frontend, history, matching and worker
// in this process, on loopback, over one SQLite file. Its ports are open to those alone who have
// the client certificate from the data directory (credentials.go).
//
// Temporal calls SQLite a development store and migrates no existing file. That is bearable
// here because manifests and scaling state live in the broker: with the file deleted the
// platform rebuilds its workflows and adopts what runs. A file this binary cannot use is
// detected before anything starts (store.go) and the error says so.
package temporald

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/temporal"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/sdklog"
)

const (
	// readyTimeout bounds the wait for the frontend's first answer. It takes 0.3-0.5 s on two
	// cores; the rest is for a machine that is busy with something else.
	readyTimeout = 30 * time.Second

	// readyPoll is the pause between two tries to reach the frontend.
	readyPoll = 20 * time.Millisecond
)

// Sentinels of this package.
var (
	// ErrStart is returned when the server did not come up; the message is the server's own.
	ErrStart = errors.New("embedded Temporal did not start")
	// ErrCorrupt is returned when the SQLite file cannot be read.
	ErrCorrupt = errors.New("the database of Temporal is damaged")
	// ErrIncompatible is returned when the SQLite file was written by another version.
	ErrIncompatible = errors.New("the database of Temporal is of another version")
)

// Options of the embedded server. All fields are needed.
type Options struct {
	DB               string // path of the SQLite file, made where it is missing
	Ports            Ports
	Keys             datadir.TemporalKeys
	Namespace        string
	SearchAttributes map[string]enumspb.IndexedValueType // registered in a new file before the start
	Logger           *slog.Logger
}

// Ports on loopback that the four services listen on, all of them free and different.
type Ports struct{ Frontend, History, Matching, Worker int }

// Server is a running Temporal.
type Server struct {
	srv       temporal.Server
	log       *bridge
	id        *identity
	address   string
	namespace string
}

// Start returns once the frontend answers. Errors: [ErrStart], [ErrCorrupt],
// [ErrIncompatible].
func Start(ctx context.Context, o Options) (*Server, error) {
	cfg := serverConfig(o)
	if err := prepareStore(ctx, cfg, o); err != nil {
		return nil, err
	}
	id, err := openIdentity(o.Keys, time.Now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	log := newBridge(o.Logger)
	s := &Server{log: log, id: id, address: address(o.Ports.Frontend), namespace: o.Namespace}
	build := func() (err error) { s.srv, err = s.build(cfg, o.Ports); return err }
	if err := log.guard(build, func() error { return s.srv.Start() }); err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, s.Stop(stopCtx))
	}
	return s, nil
}

func (s *Server) build(cfg *config.Config, p Ports) (temporal.Server, error) {
	return temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(staticHosts(p)),
		temporal.WithLogger(s.log),
		temporal.WithTLSConfigFactory(s.id),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	)
}

func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		c, err := s.Dial(ctx)
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-tick.C:
		case cause := <-s.log.failed:
			return fmt.Errorf("%w: %w", ErrStart, cause)
		case <-ctx.Done():
			return fmt.Errorf("%w: %s does not answer: %w", ErrStart, s.address, err)
		}
	}
}

// Dial connects a client to the server's namespace; the caller closes it.
func (s *Server) Dial(ctx context.Context) (client.Client, error) {
	return client.DialContext(ctx, client.Options{
		HostPort: s.address, Namespace: s.namespace, Logger: sdklog.New(s.log.slog),
		// Within one machine compressing costs more than it saves: a fifteenth of the time of a wake.
		ConnectionOptions: client.ConnectionOptions{TLS: s.id.client.Clone(), GrpcCompression: &client.GrpcCompressionNone{}},
	})
}

// Credentials are what a client must show; whoever has them may do everything.
func (s *Server) Credentials() Credentials { return s.id.clients }

// Address is the frontend's host:port.
func (s *Server) Address() string { return s.address }

// Failed receives one error if a service gives up while running; the platform should then
// end, since Temporal does not restart a service by itself.
func (s *Server) Failed() <-chan error { return s.log.failed }

// stopTimeout bounds the stop after a failed start.
const stopTimeout = 5 * time.Second

// Stop drains the services, about a second when all clients are closed. It returns early,
// with ctx's error, when that takes longer than ctx; what is in SQLite is safe either way.
func (s *Server) Stop(ctx context.Context) error {
	s.log.hush()
	done := make(chan error, 1)
	go func() { done <- s.srv.Stop() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("embedded Temporal is still stopping: %w", ctx.Err())
	}
}
