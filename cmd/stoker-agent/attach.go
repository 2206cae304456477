package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/server"
	"stoker.dev/stoker/events"
)

// modelServer is the model server as a replica's life sees it: a child of ours, or one that a
// Pod runs beside us.
type modelServer interface {
	WaitReady(ctx context.Context, url string, timeout time.Duration) error
	Look() bool // whether it is gone, looked at now
	Done() <-chan struct{}
	Exit() server.Exit
	Stop(ctx context.Context, grace time.Duration) error
	Tail() string
	PID() int
}

var (
	_ modelServer = (*server.Server)(nil)
	_ modelServer = (*server.Attached)(nil)
)

// seat is the place of an agent beside a model server that is not its child. Whoever runs both
// takes the model server away first, and the agent last.
type seat struct {
	stopped chan struct{} // closed when we were told to go by a signal
	once    sync.Once
	over    chan struct{} // closed when the model server is of no more use to us
	leaving atomic.Bool   // the model server is being taken away
}

func newSeat() seat { return seat{stopped: make(chan struct{}), over: make(chan struct{})} }

func (s *seat) called() { s.once.Do(func() { close(s.stopped) }) }

// runAttached lives the life of a replica whose model server is beside us. However that ends,
// the agent stays until it is told to go: a kubelet would start it again, to pull requests for
// a server that is gone, draining or hung.
func (a *agent) runAttached() int {
	stop, err := a.serveHooks()
	if err != nil {
		return a.exit(end{code: exitFailed, cause: events.CauseSpawnFailed, message: err.Error()})
	}
	defer stop()
	e := a.serve()
	if e.code == exitFailed { // another start may work
		return a.exit(e)
	}
	a.beater.exited(e)
	a.phase(events.PhaseExited)
	close(a.seat.over)
	a.log.Info("waiting to be stopped", "cause", e.cause, "message", e.message)
	<-a.seat.stopped
	e.code = exitOK
	return a.exit(e)
}

// loadingCause is why a replica ends that is told to go before it was ready. A kubelet's signal
// comes once the model server has ended: it knows why, and no cause of ours may hide that.
func (a *agent) loadingCause(o order) string {
	if a.c.Attach && o.signal {
		return ""
	}
	return events.CauseDrained
}

// endedBefore tells whether the model server had ended when an order to drain came. A kubelet's
// signal comes because of that, and may be sooner than our watch.
func endedBefore(srv modelServer, o order) bool {
	select {
	case <-srv.Done():
		return true
	default:
		return o.signal && srv.Look()
	}
}
