package gateway

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyWithin bounds the question whether the platform takes work; probes give up after
// one to a few seconds.
const readyWithin = 2 * time.Second

// Handler is everything the platform's one HTTP port serves.
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /functions/{ns}/{fn}", g.serveCall)
	mux.HandleFunc("POST /functions/{ns}/{fn}/{path...}", g.serveCall)
	mux.HandleFunc("GET /results/{ns}/{fn}/{id}", g.serveResult)
	mux.Handle("/api/v1/", g.authorized(g.control()))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", g.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", servePage)
	if g.UI != nil {
		mux.Handle("/temporal/", g.UI)
	}
	return g.unhurried(local(sameOrigin(mux)))
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
