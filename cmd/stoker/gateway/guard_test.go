package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"stoker.dev/stoker/events"
)

func TestOnlyLoopbackNamesAreServed(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.1": true, "127.8.8.8:1": true, "localhost:8080": true, "LocalHost": true, "localhost.": true,
		"[::1]:8080": true, "[::1]": true, "[::ffff:127.0.0.1]:80": true,
		"": false, "example.com": false, "example.com:8080": false, "127.0.0.1.example.com": false, "localhost.example.com:8080": false,
		"10.0.0.1:8080": false, "0.0.0.0:8080": false, "127.0.0.1@example.com": false, "2130706433": false,
	} {
		if got := loopback(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
	w := newWorld(t)
	r := w.request(w.ctx(), http.MethodGet, "/metrics", "")
	r.Host = "rebound.example.com"
	resp, err := w.server.Client().Do(r)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("%d", resp.StatusCode)
	}
}

// TestOtherPagesCannotPost: a page anywhere can make its visitor's browser send a request to
// this machine.
func TestOtherPagesCannotPost(t *testing.T) {
	w := newWorld(t)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://example.com"}, {"Origin", "null"},
	} {
		r := w.post(fnPath+"?async=1", "x", append(header, "Content-Type", "text/plain")...)
		if r.StatusCode != http.StatusForbidden || r.failure(t).Cause != causeForbidden {
			t.Errorf("%v: %d %s", header, r.StatusCode, r.body)
		}
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", w.server.URL}, {}} {
		if r := w.post(fnPath+"?async=1", "x", header...); r.StatusCode != http.StatusAccepted {
			t.Errorf("%v: %d %s", header, r.StatusCode, r.body)
		}
	}
}

func TestPagesAndProbes(t *testing.T) {
	w := newWorld(t)
	if r := w.get("/healthz"); r.StatusCode != http.StatusOK || r.body != "ok\n" {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
	if r := w.get("/readyz"); r.StatusCode != http.StatusOK {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
	w.gateway.Ready = func(context.Context) error { return errors.New("temporal is away") }
	if r := w.get("/readyz"); r.StatusCode != http.StatusServiceUnavailable || r.body != "temporal is away\n" {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
	if r := w.get("/"); r.StatusCode != http.StatusOK || !strings.Contains(r.body, `href="/temporal/"`) || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	for _, path := range []string{"/nothing", "/temporal/", "/functions/default/tinylm"} {
		if r := w.get(path); r.StatusCode != http.StatusNotFound && r.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
}

// TestUIGetsItsPathUnchanged.
func TestUIGetsItsPathUnchanged(t *testing.T) {
	w := newWorld(t)
	ui := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.RequestURI())) })
	g := New(Options{Bus: w.bus, Control: w.control, Keeper: w.keeper, UI: ui})
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://localhost/temporal/a%2Fb?c=d", nil)
	r.Header.Set("Authorization", "Bearer "+testToken)
	g.Handler().ServeHTTP(rec, r)
	if rec.Body.String() != "/temporal/a%2Fb?c=d" {
		t.Errorf("%q", rec.Body)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	extra := prometheus.NewCounter(prometheus.CounterOpts{Name: "stoker_extra_total", Help: "Of another part."})
	w.gateway = New(Options{Bus: w.bus, Control: w.control, Keeper: w.keeper, Collectors: []prometheus.Collector{extra}})
	w.server.Config.Handler = w.gateway.Handler()
	w.serve(fn, echo)
	w.post(fnPath, "x")
	w.post(fnPath, "x", "Stoker-Class", "nonsense")
	w.post(fnPath+"?async=1", "x", "Stoker-Class", "batch")
	w.post("/functions/default/made-up-by-a-stranger", "x")
	r := w.get("/metrics")
	for _, want := range []string{
		`stoker_gateway_requests_total{class="interactive",function="tinylm",namespace="default",status="ok",via="http"} 1`,
		`stoker_gateway_requests_total{class="batch",function="tinylm",namespace="default",status="accepted",via="http"} 1`,
		`stoker_gateway_requests_total{class="",function="",namespace="",status="error",via="http"} 2`,
		`stoker_gateway_request_duration_seconds_count{class="interactive",function="tinylm",namespace="default"} 1`,
		"stoker_gateway_in_flight 0", "stoker_extra_total 0", "go_goroutines ",
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(r.body, "made-up-by-a-stranger") {
		t.Error("anybody can make series")
	}
	problems, err := testutil.GatherAndLint(w.gateway.metrics.registry)
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "stoker_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	must(t, err)
	must(t, w.cli().Delete(t.Context(), fn))
	if r := w.get("/metrics"); strings.Contains(r.body, "tinylm") {
		t.Error("a deleted function keeps its series")
	}
}

// bury makes a dead letter.
func (w *world) bury(i int) error { return w.buryData(i, "") }

func (w *world) buryData(i int, data string) error {
	if data == "" {
		data = deadData(i)
	}
	subject := events.RequestSubject(fn, "standard")
	h, err := events.Event{ID: deadData(i)[5:], Source: "test", Type: "t", DataContentType: "text/plain"}.Encode()
	if err != nil {
		return err
	}
	r, err := events.NewRequest(subject, h, []byte(data), events.ShardStream(testShard), uint64(i+1), w.gateway.Now())
	if err != nil {
		return err
	}
	return w.bus.Bury(w.ctx(), r, events.Attempts{Failures: 3, Cause: events.CauseBackend, Message: "it said no"})
}

func deadData(i int) string { return "data " + strconv.Itoa(i) }
