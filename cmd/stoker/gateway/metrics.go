package gateway

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// How requests come in.
const (
	viaHTTP   = "http"
	viaInvoke = "invoke"
)

// statusAccepted is the status of a request whose end the gateway does not see.
const statusAccepted = "accepted"

// metrics of a gateway, on a registry of their own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(more []prometheus.Collector) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stoker_gateway_requests_total",
			Help: "Requests by function, class, way in and how they ended: ok, error, expired, shed; accepted: stored, and the answer goes another way. Those for unknown functions have no function.",
		}, []string{"namespace", "function", "class", "via", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "stoker_gateway_request_duration_seconds",
			Help:    "Time from the request to the end of its answer, of HTTP callers that wait.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}, []string{"namespace", "function", "class"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stoker_gateway_in_flight", Help: "HTTP callers inside.",
		}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.inFlight,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(more...)
	return m
}

// done counts a request. Only functions that exist become labels: anybody can ask for others.
func (m *metrics) done(c call, via string, refused *refusal, rec events.Record, took time.Duration) {
	status := statusAccepted
	switch {
	case refused != nil && refused.Cause == events.CauseCancelled:
		status = events.CauseCancelled
	case refused != nil:
		status = string(refused.Status())
	case rec.Status != "":
		status = string(rec.Status)
	}
	k := c.key
	if refused != nil && refused.Code == http.StatusNotFound {
		k = functions.Key{}
	}
	m.requests.WithLabelValues(k.Namespace, k.Name, string(c.class), via, status).Inc()
	if rec.Status != "" {
		m.duration.WithLabelValues(k.Namespace, k.Name, string(c.class)).Observe(took.Seconds())
	}
}

// forget drops the series of a function that was deleted.
func (m *metrics) forget(k functions.Key) {
	labels := prometheus.Labels{"namespace": k.Namespace, "function": k.Name}
	m.requests.DeletePartialMatch(labels)
	m.duration.DeletePartialMatch(labels)
}
