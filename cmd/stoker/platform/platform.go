package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/capacity"
	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/config"
	"stoker.dev/stoker/cmd/stoker/controller"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/dispatch"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
	"stoker.dev/stoker/cmd/stoker/embedded"
	"stoker.dev/stoker/cmd/stoker/gateway"
	"stoker.dev/stoker/cmd/stoker/profile"
	"stoker.dev/stoker/cmd/stoker/spending"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// Times of starting and stopping.
const (
	readyTimeout = 30 * time.Second // for the controller to know everything deployed and running
	stopTimeout  = 15 * time.Second // for the servers, after everything that uses them has ended
	killMargin   = 5 * time.Second  // beyond the grace, for trees that had to be killed
)

// idleTimeout is how long an HTTP connection may wait for its next request: each is a file
// descriptor.
const idleTimeout = 2 * time.Minute

// workflowCache is how many sleeping workflows a worker keeps in memory. One costs some 100 kB;
// one that is not kept is replayed from its short history when it is needed.
const workflowCache = 256

// Pollers of the worker, exported for the benchmark's floor. The SDK's default of two workflow pollers, one of them for sticky tasks,
// lets a hundred functions that wake at once queue for seconds behind one another; more than
// these gained nothing on two cores.
const (
	WorkflowPollers = 16
	ActivityPollers = 8
)

// Options of a platform.
type Options struct {
	Config   config.Config
	Version  string
	Log      *slog.Logger
	Progress io.Writer // where building a helper shows, and the address of the profiles
	// Simulated shapes the simulated provider's world; its Beat is the platform's own.
	Simulated simulated.Options
	// Kubernetes is what a configuration does not say to the Kubernetes provider.
	Kubernetes kubernetes.Options
	// Wrap, where it is set, stands between the activities and the provider: a benchmark takes
	// the time of its calls.
	Wrap func(activities.Provider) activities.Provider
	// Clock is the machine's where it is not set; a test sets it.
	Clock Clock
}

// Platform is a running platform.
type Platform struct {
	Options
	dir      *datadir.Dir
	keeper   *doorkeeper.Keeper
	cert     *certificate // nil: plain HTTP
	servers  *embedded.Platform
	bus      *events.Bus
	ledger   *capacity.Writer
	spending *spending.Keeper
	provider activities.Provider
	burst    activities.Burst // of starts of replicas
	claims   activities.Burst // of claims of training jobs
	control  *controller.Controller
	dispatch *dispatch.Dispatcher

	simulated   *simulated.World // nil with another provider
	submissions activities.Submissions
	deciding    atomic.Pointer[controller.Controller] // once there is one
	gateway     *gateway.Gateway
	server      datadir.Server
	failed      chan error
	probe       probe
	storage     *storage
	records     *records
	steady      *steady // of what is measured; deadlines that others set go by Clock.Wall
	closers     []func(context.Context) error
	handler     atomic.Pointer[http.Handler]
	callers     atomic.Pointer[gateway.Gateway] // once there may be some
}

// Start returns a ready platform, or an error with nothing left running.
func Start(ctx context.Context, o Options) (*Platform, error) {
	if o.Clock.Wall == nil {
		o.Clock = machine()
	}
	p := &Platform{Options: o, failed: make(chan error, 8), steady: newSteady(o.Clock)}
	for _, step := range []func(context.Context) error{
		p.openDir, p.openDoors, p.servePprof, p.listen, p.startServers, p.keepDoors, p.connect, p.watchStorage, p.watchRecords, p.startProvider, p.keepAgents, p.wrapProvider, p.startLedger, p.startSpending, p.makeDispatcher, p.startWorker, p.startController, p.startDispatcher, p.startGateway, p.keepMemory, p.publish,
	} {
		if err := step(ctx); err != nil {
			abort, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			return nil, errors.Join(err, p.close(abort))
		}
	}
	return p, nil
}

// onClose registers what undoes a step; the last registered runs first.
func (p *Platform) onClose(f func(context.Context) error) { p.closers = append(p.closers, f) }

func (p *Platform) close(ctx context.Context) error {
	var errs []error
	for _, f := range slices.Backward(p.closers) {
		errs = append(errs, f(ctx))
	}
	p.closers = nil
	return errors.Join(errs...)
}

// Server is how the platform is reached.
func (p *Platform) Server() datadir.Server { return p.server }

// Failed receives an error when a part gave up; the process should then end.
func (p *Platform) Failed() <-chan error { return p.failed }

// Bus is the platform's own connection to the broker, and Temporal its client, for what
// measures them in the same process.
func (p *Platform) Bus() *events.Bus { return p.bus }

// Temporal is the platform's client.
func (p *Platform) Temporal() client.Client { return p.servers.TemporalClient() }

// Capacity is the ledger of the pool as it was last written; it is not to be changed.
func (p *Platform) Capacity() *scale.Ledger { return p.ledger.Newest() }

func (p *Platform) openDir(context.Context) error {
	if err := p.Config.Validate(); err != nil {
		return err
	}
	dir, err := datadir.OpenAbove(p.Config.DataDir, p.Config.Watermark())
	if err != nil {
		return err
	}
	p.dir = dir
	p.onClose(func(context.Context) error { return dir.Close() })
	return nil
}

// servePprof comes before everything that takes time, so that a slow start can be looked at.
func (p *Platform) servePprof(ctx context.Context) error {
	if p.Config.Pprof == "" {
		return nil
	}
	s, err := profile.Serve(ctx, p.Config.Pprof)
	if err != nil {
		return err
	}
	p.onClose(func(context.Context) error { return s.Close() })
	fmt.Fprintf(p.Progress, "profiles at %s\n", s.URL())
	return nil
}

// listen takes the HTTP port first: it is the one most likely to be taken.
func (p *Platform) listen(ctx context.Context) error {
	if err := datadir.CheckPort("http", p.Config.Listen, "stop it, or choose another with --listen"); err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", p.Config.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another address with --listen", p.Config.Listen, err)
	}
	p.server.HTTP = p.baseURL(ln.Addr())
	srv := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r) }),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    events.MaxAttributes,
		TLSConfig:         p.tls(),
		ErrorLog:          slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug),
	}
	serve := srv.Serve
	if srv.TLSConfig != nil {
		serve = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
	}
	go func() {
		if err := serve(ln); !errors.Is(err, http.ErrServerClosed) {
			p.failed <- fmt.Errorf("http: %w", err)
		}
	}()
	p.onClose(func(context.Context) error { return srv.Close() })
	return nil
}

// serve answers 503 until the gateway is there.
func (p *Platform) serve(w http.ResponseWriter, r *http.Request) {
	if h := p.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "stoker is starting", http.StatusServiceUnavailable)
}

func (p *Platform) startServers(ctx context.Context) error {
	ports := datadir.Preferred
	if p.Config.RandomPorts {
		ports = datadir.Random
	}
	c := p.Config
	servers, err := embedded.Start(ctx, embedded.Options{
		Dir: p.dir, Ports: ports, Keeper: p.keeper, Listen: p.brokerDoor(), TemporalAddress: c.TemporalAddress, Logger: p.Log,
		SyncInterval: c.SyncInterval, AcceptLoss: c.AcceptLoss,
		NATS: embedded.NATSOptions{
			URL: c.NATSURL, Creds: c.NATSCreds, NKey: c.NATSNKey, AgentCreds: c.AgentNATSCreds, CA: c.NATSCA, Cert: c.NATSCert, Key: c.NATSKey,
		},
		SearchAttributes: map[string]enumspb.IndexedValueType{
			workflows.AttrNamespace: enumspb.INDEXED_VALUE_TYPE_KEYWORD, workflows.AttrFunction: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			workflows.AttrPhase: enumspb.INDEXED_VALUE_TYPE_KEYWORD, workflows.AttrGPUs: enumspb.INDEXED_VALUE_TYPE_INT,
			workflows.AttrJob: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		},
	})
	if err != nil {
		return err
	}
	p.servers = servers
	p.onClose(servers.Stop)
	go func() {
		if err, ok := <-servers.Failed(); ok {
			p.failed <- err
		}
	}()
	return nil
}

// Connect opens another connection with the platform's rights, for what stands in for others in
// the same process; the caller closes it.
func (p *Platform) Connect(ctx context.Context) (*events.Bus, error) {
	nc, err := p.servers.NATSConn(ctx)
	if err != nil {
		return nil, err
	}
	bus, err := events.NewBus(nc, p.Log.With("part", "events"))
	if err != nil {
		nc.Close()
	}
	return bus, err
}

func (p *Platform) connect(ctx context.Context) (err error) {
	if p.bus, err = p.Connect(ctx); err != nil {
		return err
	}
	p.onClose(func(context.Context) error { p.bus.Close(); return nil })
	return p.bus.Ensure(ctx, events.StreamOptions{Records: int64(p.Config.Records), Bytes: int64(p.Config.RecordBytes())})
}

func (p *Platform) startLedger(ctx context.Context) error {
	store, err := events.OpenStore[scale.Ledger](ctx, p.bus, events.BucketLedger)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if p.ledger, err = capacity.OpenAt(inner, store, p.Config.Pool, p.steady.Now); err != nil {
		cancel()
		return err
	}
	p.onClose(func(context.Context) error { cancel(); <-p.ledger.Done(); return nil })
	inv, err := p.provider.Inventory(ctx)
	if err != nil {
		return fmt.Errorf("look for GPUs: %w", err)
	}
	return p.ledger.SetInventory(ctx, inv)
}

func (p *Platform) startWorker(ctx context.Context) error {
	manifests, err := events.OpenStore[events.FunctionRecord](ctx, p.bus, events.BucketFunctions)
	if err != nil {
		return err
	}
	worker.SetStickyWorkflowCacheSize(workflowCache)
	w := worker.New(p.servers.TemporalClient(), workflows.TaskQueue, worker.Options{
		MaxConcurrentWorkflowTaskPollers: WorkflowPollers, MaxConcurrentActivityTaskPollers: ActivityPollers,
		OnFatalError: func(err error) { p.failed <- fmt.Errorf("temporal worker: %w", err) },
	})
	workflows.RegisterWorkflows(w)
	workflows.RegisterActivities(w, &activities.Activities{
		Provider: p.provider, Ledger: p.ledger, Queue: p.bus, Access: minter{p.servers}, Journal: p.bus, Manifests: manifests,
		Burst: &p.burst, Now: p.steady.Now,
	}, p.gangs())
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the Temporal worker: %w", err)
	}
	p.onClose(func(context.Context) error { w.Stop(); return nil })
	return nil
}

func (p *Platform) startController(ctx context.Context) error {
	fns, err := events.OpenStore[events.FunctionRecord](ctx, p.bus, events.BucketFunctions)
	if err != nil {
		return err
	}
	state, err := events.OpenStore[controller.Stored](ctx, p.bus, events.BucketState)
	if err != nil {
		return err
	}
	decided, err := p.keepDecisions()
	if err != nil {
		return err
	}
	p.control = controller.New(controller.Options{
		Functions: durable[events.FunctionRecord]{fns, p.syncManifests}, State: state, Bus: p.bus, Ledger: p.ledger, Workflows: workflows.Client{Temporal: p.servers.TemporalClient()},
		Provider: p.provider, Spending: p.spending, Burst: &p.burst, OnShortage: p.dispatch.Look, Pool: p.Config.Pool, Log: p.Log.With("part", "controller"), Now: p.steady.Now, Wall: p.Clock.Wall, Info: p.info, Decided: decided,
	})
	p.deciding.Store(p.control)
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- p.control.Run(inner) }()
	p.onClose(func(context.Context) error { cancel(); return <-ended })
	select {
	case <-p.control.Ready():
		return nil
	case err := <-ended:
		ended <- nil
		return err
	case <-time.After(readyTimeout):
		return errors.New("the controller did not become ready in time")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Platform) syncManifests() error { return p.servers.Sync(events.BucketFunctions) }

func (p *Platform) info() api.Platform {
	return api.Platform{
		Version: p.Version, Started: p.server.Started, NATS: p.servers.NATSURL(), Temporal: p.servers.TemporalAddress(), HTTP: p.server.HTTP,
	}
}

// publish writes down how the platform is reached: from here on the CLI finds it.
func (p *Platform) publish(context.Context) error {
	p.server = p.servers.Server(p.server.HTTP, p.Version)
	if p.cert != nil {
		p.server.CertFile, p.server.CertName = p.Config.TLSCert, p.cert.name()
	}
	if err := p.dir.WriteServer(p.server); err != nil {
		return err
	}
	p.onClose(func(context.Context) error { p.dir.RemoveServer(); return nil })
	return nil
}
