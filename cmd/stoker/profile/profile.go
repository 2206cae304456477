// Package profile shows where the platform's time and memory go: Go's profiles over HTTP while
// it runs (`stoker up --pprof`), and in files around one measurement (`stoker bench
// --cpuprofile`).
//
// A profile tells function names, and a goroutine dump may tell arguments: the listener is off
// unless asked for, is one of its own, takes loopback addresses only, and answers to loopback
// names only, so that no web page reaches it through a name made to point here.
package profile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// ErrNotLoopback is returned for an address that others could reach.
var ErrNotLoopback = errors.New("profiles are served on loopback only")

// headerTimeout ends a client that connects and says nothing.
const headerTimeout = 10 * time.Second

// Server serves profiles until it is closed.
type Server struct {
	srv *http.Server
	url string
}

// Serve listens on a loopback address; port 0 picks a free one. Errors: [ErrNotLoopback].
func Serve(ctx context.Context, addr string) (*Server, error) {
	if !Loopback(addr) {
		return nil, fmt.Errorf("%w: %q: use 127.0.0.1:0, which picks a free port, and a tunnel from elsewhere", ErrNotLoopback, addr)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for profiles: %w; choose another address with --pprof", addr, err)
	}
	s := &Server{
		srv: &http.Server{Handler: local(routes()), ReadHeaderTimeout: headerTimeout},
		url: "http://" + ln.Addr().String() + "/debug/pprof/",
	}
	go func() { _ = s.srv.Serve(ln) }() // ends with Close; nothing else depends on it
	return s, nil
}

// URL is the index of the profiles.
func (s *Server) URL() string { return s.url }

// Close ends the server and every profile under way.
func (s *Server) Close() error { return s.srv.Close() }

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// local refuses requests under any name that is not loopback's.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "80")
		}
		if !Loopback(host) {
			http.Error(w, "profiles are served to http://127.0.0.1 and http://localhost", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Loopback tells whether HOST:PORT is reached from this machine alone.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
