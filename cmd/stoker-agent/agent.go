package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/meter"
	"stoker.dev/stoker/cmd/stoker-agent/proxy"
	"stoker.dev/stoker/cmd/stoker-agent/pull"
	"stoker.dev/stoker/cmd/stoker-agent/rank"
	"stoker.dev/stoker/cmd/stoker-agent/request"
	"stoker.dev/stoker/cmd/stoker-agent/server"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/scale/job"
)

// settleWait is how long requests may take to be written or given back once nothing works
// on them any more. Longer only if the broker is away; it then takes them by itself.
const settleWait = 5 * time.Second

// serverGrace is how long a model server that has nothing to do may take to go.
const serverGrace = 5 * time.Second

// agent is the life of one replica, or of one rank.
type agent struct {
	c      events.AgentConfig
	log    *slog.Logger
	bus    *events.Bus
	meter  *meter.Meter
	puller *pull.Puller
	beater *beater
	gpus   *sampler
	drains chan order
	seat   seat // of an agent that attaches

	rank    *rank.Progress // nil: a replica of a function
	barrier barrier        // of a rank
	pod     podRank        // of a rank in a container of its own

	work     context.Context //nolint:containedctx // 2026-11-23: of the model server's work; its end cuts requests off
	cutOff   context.CancelCauseFunc
	life     context.Context //nolint:containedctx // 2026-11-23: of everything else; the broker's callbacks have none
	die      context.CancelFunc
	handling atomic.Pointer[request.Handler] // nil until pulling begins
}

func newAgent(c events.AgentConfig, log *slog.Logger) (*agent, error) {
	a := &agent{c: c, log: log, meter: meter.New(c.Receipt, time.Now()), drains: make(chan order, 8), seat: newSeat()}
	a.life, a.die = context.WithCancel(context.Background())
	a.work, a.cutOff = context.WithCancelCause(a.life)
	a.puller = pull.NewPuller(c.Spec.Scaling.Slots, a.handle, log)
	a.gpus = newSampler(c.GPUs, log)
	a.beater = newBeater(a)
	if c.Rank != nil {
		a.rank, a.barrier = rank.NewProgress(*c.Rank), newBarrier()
	}
	bus, err := events.Connect(c.NATS, events.ConnectOptions{
		Name:        "stoker-agent " + c.Key.String() + " " + c.Replica,
		InboxPrefix: events.AgentInbox(c.Replica),
		Logger:      log,
		OnState:     a.connection,
	})
	if err != nil {
		return nil, err
	}
	a.bus = bus
	return a, nil
}

func (a *agent) handle(d *events.Delivery) { a.handling.Load().Handle(a.work, a.life, d) }

// connection is told when the broker comes and goes.
func (a *agent) connection(up bool) {
	a.puller.Connection(up)
	if up {
		a.beater.soon()
	}
}

// run lives the replica's life and returns the exit code.
func (a *agent) run(stop <-chan os.Signal) int {
	defer a.die()
	if err := a.listen(); err != nil {
		return a.exit(end{code: exitFailed, cause: events.CauseSpawnFailed, message: err.Error()})
	}
	go a.beater.run(a.life)
	go a.gpus.run(a.life)
	go a.signals(stop)
	a.beater.now()
	if a.c.Attach {
		return a.runAttached()
	}
	if a.rank != nil {
		return a.exit(a.podEnd(a.train()))
	}
	return a.exit(a.serve())
}

// listen takes orders, and cancellations of requests.
func (a *agent) listen() error {
	if a.rank != nil {
		_, err := a.bus.OnControl(a.c.Key, a.c.Replica, a.rankControl)
		return err
	}
	if _, err := a.bus.OnControl(a.c.Key, a.c.Replica, a.control); err != nil {
		return err
	}
	_, err := a.bus.OnCancel(a.c.Key, func(id string) {
		if h := a.handling.Load(); h != nil {
			h.Cancel(id)
		}
	})
	return err
}

func (a *agent) control(c events.Control) (string, error) {
	if c.Op != events.OpDrain {
		return "", fmt.Errorf("op %q is unknown, allowed: %s", c.Op, events.OpDrain)
	}
	a.drain(order{grace: time.Duration(c.GraceSeconds * float64(time.Second))})
	return "", nil
}

// signals turns each signal into an order to drain.
func (a *agent) signals(stop <-chan os.Signal) {
	for {
		select {
		case <-stop:
			a.seat.called()
			a.drain(order{grace: a.c.Spec.Runtime.Drain.Grace.D(), signal: true})
		case <-a.life.Done():
			return
		}
	}
}

// order is one to drain.
type order struct {
	grace  time.Duration // for what is in flight
	signal bool          // it came as a signal
	cause  job.Cause     // why a rank has to go; empty: not said
}

// drain passes an order on; when many wait, one more changes nothing.
func (a *agent) drain(o order) {
	o.grace = max(o.grace, 0)
	select {
	case a.drains <- o:
	default:
	}
}

// end is how a replica's life ended.
type end struct {
	code       int
	cause      string
	message    string
	serverCode int
}

// crashed is the end of a server that ended by itself.
func crashed(srv modelServer, message string) end {
	return end{code: exitCrashed, cause: crashCause(srv), message: message}
}

// crashCause tells a server that the kernel killed for want of memory from the others.
func crashCause(srv modelServer) string {
	select {
	case <-srv.Done():
		if srv.Exit().OutOfMemory {
			return events.CauseOutOfMemory
		}
	default: // not ended: its exit is not known
	}
	return events.CauseCrashed
}

// serve starts the model server, or attaches to it, and returns when it is gone with all it
// started, or needed no more.
func (a *agent) serve() end {
	srv, port, err := a.server()
	if err != nil {
		return end{code: exitSpawn, cause: events.CauseSpawnFailed, message: err.Error()}
	}
	a.beater.serverPID(srv.PID())
	a.phase(events.PhaseLoading)
	if e, ok := a.becomeReady(srv, port); !ok {
		return a.stopServer(srv, e, serverGrace)
	}
	return a.pullUntilDone(srv, port)
}

func (a *agent) server() (modelServer, int, error) {
	if a.c.Attach {
		return server.Attach(a.c.Port), a.c.Port, nil
	}
	port, err := a.port()
	if err != nil {
		return nil, 0, err
	}
	srv, err := server.Start(server.Options{
		Command: a.c.Command, Dir: a.c.WorkingDir, LogFile: a.c.LogFile,
		Env: server.Env(a.c, os.Environ(), port), Secrets: server.Secrets(a.c),
	})
	if err != nil {
		return nil, 0, err
	}
	return srv, port, nil
}

func (a *agent) port() (int, error) {
	if a.c.Port != 0 {
		return a.c.Port, nil
	}
	return server.FreePort()
}

// becomeReady waits for the probe. ok is false when the replica has to end instead.
func (a *agent) becomeReady(srv modelServer, port int) (e end, ok bool) {
	ctx, cancel := context.WithCancel(a.life)
	defer cancel()
	var err error // once probed is closed
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		err = srv.WaitReady(ctx, a.probeURL(port), a.c.Spec.Runtime.Ready.Timeout.D())
	}()
	select {
	case o := <-a.drains:
		cancel()
		<-probed
		return end{code: exitOK, cause: a.loadingCause(o)}, false
	case <-probed:
		switch {
		case err == nil:
			return end{}, true
		case errors.Is(err, server.ErrNeverReady):
			return end{code: exitNeverReady, cause: events.CauseNeverReady, message: err.Error()}, false
		default:
			return crashed(srv, err.Error()), false
		}
	}
}

func (a *agent) probeURL(port int) string {
	u := url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: a.c.Spec.Runtime.Ready.Path}
	return u.String()
}

// pullUntilDone serves requests until the replica drains or its server dies.
func (a *agent) pullUntilDone(srv modelServer, port int) end {
	h := request.New(request.Options{
		Bus: a.bus, Meter: a.meter, Config: a.c, Log: a.log,
		Proxy: proxy.New(port, a.c.Spec.Runtime, a.c.Spec.Scaling.Slots),
		Gone:  srv.Done(), Look: srv.Look, Leaving: a.seat.leaving.Load,
		Cause: func() string { return crashCause(srv) }, OnGone: func() { a.puller.Stop() },
	})
	a.handling.Store(h)
	go h.KeepAlive(a.life)
	intake, err := a.bus.OpenIntake(a.c.Key, a.c.Replica, a.c.Stream, a.puller)
	if err != nil {
		return a.stopServer(srv, end{code: exitFailed, cause: events.CauseSpawnFailed, message: err.Error()}, serverGrace)
	}
	a.phase(events.PhaseReady)
	a.puller.Begin(intake)
	var e end
	select {
	case o := <-a.drains:
		e = a.drained(srv, o)
	case <-srv.Done():
		e = crashed(srv, srv.Exit().String())
	}
	return a.wind(srv, intake, e)
}

// drained lets what is in flight finish within the grace; a later order can only shorten it.
func (a *agent) drained(srv modelServer, o order) end {
	idle := a.puller.Stop()
	a.phase(events.PhaseDraining)
	gone := srv.Done()
	if a.c.Attach {
		if endedBefore(srv, o) {
			return crashed(srv, srv.Exit().String())
		}
		a.seat.leaving.Store(true)
		gone = nil // it is being taken away: what it does not finish is given back
	}
	deadline := time.Now().Add(o.grace)
	for {
		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-idle:
		case <-timer.C:
		case <-gone:
			return crashed(srv, srv.Exit().String())
		case again := <-a.drains:
			timer.Stop()
			if sooner := time.Now().Add(again.grace); sooner.Before(deadline) {
				deadline = sooner
			}
			continue
		}
		timer.Stop()
		return end{code: exitOK, cause: events.CauseDrained}
	}
}

// wind ends the work in this order: nothing is pulled, what still runs is cut off and given
// back, the server's tree goes, what was on its way is given back.
func (a *agent) wind(srv modelServer, intake *events.Intake, e end) end {
	idle, died := a.puller.Stop(), e.code == exitCrashed
	if died {
		e = a.stopServer(srv, e, 0) // its orphans may hold connections open
	} else {
		a.cutOff(request.ErrCutOff)
	}
	settled, cancel := context.WithTimeout(a.life, settleWait)
	defer cancel()
	select {
	case <-idle:
	case <-settled.Done():
		if a.c.Attach {
			a.cutOff(request.ErrCutOff) // we live on, and so would its work
		}
		a.log.Warn("requests were left unsettled; the broker delivers them again", "in flight", a.puller.Running())
	}
	if err := intake.Close(settled); err != nil {
		a.log.Debug("intake not closed", "err", err)
	}
	if !died {
		e = a.stopServer(srv, e, serverGrace)
	}
	return e
}

// stopServer makes the server's tree go, and adds its last words to a bad end.
func (a *agent) stopServer(srv modelServer, e end, grace time.Duration) end {
	a.beater.because(e.cause, e.message)
	a.phase(events.PhaseDraining)
	if err := srv.Stop(a.life, grace); err != nil {
		e.code, e.message = exitTreeAlive, err.Error()
		return e
	}
	e.serverCode = srv.Exit().Code
	if e.code != exitOK && srv.Tail() != "" {
		e.message += "\n" + srv.Tail()
	}
	return e
}

func (a *agent) phase(p events.Phase) {
	a.meter.Phase(p, time.Now())
	a.beater.now()
}

// exit says the last word and leaves.
func (a *agent) exit(e end) int {
	if a.c.Attach && e.code == exitFailed {
		// A kubelet starts us again, and the model server is well: whoever heard a last word would end it.
		// Only the status file says why.
		a.bus.Conn().Close()
	}
	a.beater.exited(e)
	a.phase(events.PhaseExited)
	a.log.Info("exiting", "cause", e.cause, "code", e.code, "message", e.message)
	if a.bus.Conn().IsConnected() {
		a.bus.Close()
	} else {
		a.bus.Conn().Close()
	}
	return e.code
}
