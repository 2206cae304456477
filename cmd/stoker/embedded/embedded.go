// Package embedded is the platform's ground floor: a broker and a Temporal server, both in
// this process by default, or real ones elsewhere.
//
//	natsd      NATS with JetStream on disk, and who its clients are
//	temporald  Temporal on SQLite
//	ui         Temporal's web UI as a handler of the platform's HTTP port
//	token      credentials of agents
package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/natsd"
	"stoker.dev/stoker/cmd/stoker/embedded/temporald"
)

// DefaultNamespace is Temporal's namespace where nothing else is set.
const DefaultNamespace = "default"

// abortTimeout bounds stopping what already ran when the rest did not start.
const abortTimeout = 10 * time.Second

// Options of the platform's servers. Dir, Keeper and Logger are needed.
type Options struct {
	Dir    *datadir.Dir
	Ports  datadir.PortChoice // of a new directory
	Keeper natsd.Keeper       // knows the users of the embedded broker
	Listen Listen

	SyncInterval time.Duration // of the embedded broker; 0: every message before it is acknowledged
	AcceptLoss   bool          // start without what is damaged of the embedded broker's files

	NATS            NATSOptions // URL empty: embedded
	TemporalAddress string      // host:port; empty: embedded. See temporal.go for how it is reached.

	SearchAttributes map[string]enumspb.IndexedValueType // that the workflows set
	Logger           *slog.Logger
}

// Listen says where else than on loopback the embedded broker is reached.
type Listen struct {
	Host     string      // empty: loopback alone
	TLS      *tls.Config // with the server's certificate; needed where Host is none of loopback
	CertFile string      // path of that certificate, which agents on this machine trust
	Name     string      // what it is for
}

// Platform is a running broker and a Temporal server, and how to reach them.
type Platform struct {
	log       *slog.Logger
	dir       *datadir.Dir
	listen    Listen
	keys      datadir.Keys
	started   time.Time
	nats      NATSOptions
	natsd     *natsd.Server // nil when external
	temporald *temporald.Server
	temporal  temporalTarget
	client    client.Client
	ui        http.Handler
}

// Start returns once both servers answer. When one does not, what was started is stopped
// again. Errors are one line each and wrap those of datadir, natsd and temporald, or
// [ErrExternal].
func Start(ctx context.Context, o Options) (*Platform, error) {
	p := &Platform{log: o.Logger, dir: o.Dir, listen: o.Listen, started: time.Now(), nats: o.NATS}
	ports, err := p.prepare(o)
	if err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.startNATS(gctx, o, ports) })
	g.Go(func() error { return p.startTemporal(gctx, o, ports) })
	if err := g.Wait(); err != nil {
		return nil, p.abort(ctx, err)
	}
	if p.ui, err = newUI(p.temporal, o.Logger); err != nil {
		return nil, p.abort(ctx, err)
	}
	return p, nil
}

// prepare finds every reason not to start that can be found without starting anything.
func (p *Platform) prepare(o Options) (datadir.Ports, error) {
	var err error
	if p.keys, err = o.Dir.Keys(); err != nil {
		return datadir.Ports{}, err
	}
	if err := o.NATS.check(); err != nil {
		return datadir.Ports{}, err
	}
	ports, err := o.Dir.Ports(o.Ports)
	if err != nil {
		return ports, err
	}
	if o.NATS.URL == "" {
		if err := o.Dir.CheckNATS(ports); err != nil {
			return ports, err
		}
	}
	if o.TemporalAddress == "" {
		return ports, o.Dir.CheckTemporal(ports)
	}
	return ports, nil
}

func (p *Platform) abort(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		p.log.Warn("stopping what had started", "error", err)
	}
	return cause
}

// Server is the content of server.json for this platform; httpURL is the base URL it serves.
func (p *Platform) Server(httpURL, version string) datadir.Server {
	return datadir.Server{
		PID: os.Getpid(), Started: p.started, Version: version, HTTP: httpURL, UI: httpURL + "/temporal/",
		NATS: p.NATSURL(), EmbeddedNATS: p.natsd != nil, Temporal: p.temporal.address, Namespace: p.temporal.namespace, AdminToken: p.keys.Admin,
	}
}

// Keys are the platform's secrets: the bearer token of its API and the key of agent tokens.
func (p *Platform) Keys() datadir.Keys { return p.keys }

// TemporalClient is the one client of this process; the platform closes it. Workers must use
// it too, so that the server hands them tasks with its answers.
func (p *Platform) TemporalClient() client.Client { return p.client }

// TemporalAddress is the frontend's host:port.
func (p *Platform) TemporalAddress() string { return p.temporal.address }

// Namespace is Temporal's namespace.
func (p *Platform) Namespace() string { return p.temporal.namespace }

// UI serves everything below ui.Path; mount it there with its path unchanged.
func (p *Platform) UI() http.Handler { return p.ui }

// Healthy tells whether broker and Temporal still take work.
func (p *Platform) Healthy(ctx context.Context) error {
	errs := []error{p.BrokerHealthy()}
	if _, err := p.client.CheckHealth(ctx, nil); err != nil {
		errs = append(errs, fmt.Errorf("temporal at %s: %w", p.temporal.address, err))
	}
	return errors.Join(errs...)
}

// Failed receives an error when an embedded server gave up; the process should then end. It
// never does for external servers.
func (p *Platform) Failed() <-chan error {
	if p.temporald == nil {
		return nil
	}
	return p.temporald.Failed()
}

// Sync returns once everything that was written to a key-value bucket is on the disk. How an
// external broker keeps what it acknowledged is its operator's choice.
func (p *Platform) Sync(bucket string) error {
	if p.natsd == nil {
		return nil
	}
	return p.natsd.Sync(natsd.BucketStream(bucket))
}

// Stop ends what is embedded, Temporal and broker at the same time, after the platform's own
// workers and connections are closed. It returns early with ctx.
func (p *Platform) Stop(ctx context.Context) error {
	if p.client != nil {
		p.client.Close()
	}
	var g errgroup.Group
	if p.temporald != nil {
		g.Go(func() error { return p.temporald.Stop(ctx) })
	}
	if p.natsd != nil {
		g.Go(func() error { return p.natsd.Shutdown(ctx) })
	}
	return g.Wait()
}
