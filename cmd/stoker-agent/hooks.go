package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/netutil"

	"stoker.dev/stoker/events"
)

// Bounds of the agent's own HTTP server. It reads no bodies and keeps no connection for a
// second request; only its answer may take long.
const (
	hookHeaderWithin = 5 * time.Second // far above what a kubelet takes, and a bound for who says nothing
	hookHeaderBytes  = 4 << 10
	hookConnections  = 64          // at a time: a kubelet has one or two, and anybody in the cluster may try
	hookAnswers      = time.Second // for the last answers on their way while the agent leaves
)

// serveHooks answers a kubelet: whether the agent lives, and when the model server may go.
func (a *agent) serveHooks() (stop func(), err error) {
	l, err := net.Listen("tcp", cmp.Or(a.c.Listen, ":"+strconv.Itoa(events.AgentPort)))
	if err != nil {
		return nil, fmt.Errorf("listen for the kubelet: %w; %s names another address", err, events.AgentListenVar)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+events.AgentHealthPath, func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET "+events.AgentDrainPath, a.drainHook)
	s := &http.Server{
		Handler: mux, ReadHeaderTimeout: hookHeaderWithin, IdleTimeout: hookHeaderWithin, MaxHeaderBytes: hookHeaderBytes,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	s.SetKeepAlivesEnabled(false)
	go func() { _ = s.Serve(netutil.LimitListener(l, hookConnections)) }() // until stop; accepting fails for want of files only, and that is tried again
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), hookAnswers)
		defer cancel()
		_ = s.Shutdown(ctx) // who has no answer by then has left, or is cut off by our exit
	}, nil
}

// drainHook begins to drain, and answers once the model server may go: nothing is in flight any
// more, or the grace is over and what was left is given back.
func (a *agent) drainHook(_ http.ResponseWriter, r *http.Request) {
	a.drain(order{grace: a.c.Spec.Runtime.Drain.Grace.D()})
	select {
	case <-a.seat.over:
	case <-r.Context().Done(): // who asked left; the drain goes on
	}
}
