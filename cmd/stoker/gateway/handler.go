package gateway

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"stoker.dev/stoker/cmd/stoker/access"
)

// readyWithin bounds the question whether the platform takes work; probes give up after
// one to a few seconds.
const readyWithin = 2 * time.Second

// Handler is everything the platform's one HTTP port serves, and who may use what.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /functions/{ns}/{fn}", may(access.Invoke, g.serveCall))
	mux.HandleFunc("POST /functions/{ns}/{fn}/{path...}", may(access.Invoke, g.serveCall))
	mux.HandleFunc("GET /results/{ns}/{fn}/{id}", may(access.ReadRecords, g.serveResult))
	mux.Handle("/api/v1/", g.control())
	mux.HandleFunc("GET /metrics", may(access.Look, promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP))
	if g.UI != nil {
		mux.Handle("/temporal/", g.administered(g.UI))
	}
	open := http.NewServeMux() // for those too whom nobody let in
	open.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	open.HandleFunc("GET /readyz", g.serveReady)
	open.HandleFunc("GET /{$}", servePage)
	open.HandleFunc("GET "+loginPath, g.login)
	open.Handle("/", g.identified(mux))
	return g.unhurried(g.named(sameOrigin(open)))
}

// serveReady tells whether requests should be sent here.
func (g *Gateway) serveReady(w http.ResponseWriter, r *http.Request) {
	if g.door.isClosed() {
		writeText(w, http.StatusServiceUnavailable, "draining\n")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	if err := g.Ready(ctx); err != nil {
		writeText(w, http.StatusServiceUnavailable, err.Error()+"\n")
		return
	}
	writeText(w, http.StatusOK, "ready\n")
}

//go:embed page.html
var page []byte

func servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write(page)
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}
