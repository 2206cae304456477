package bench

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestGrowthIsWhatTheLargeRoundHasBeyondTheSmallOne(t *testing.T) {
	small := LoadRound{Requests: 100, Seconds: 10, Heartbeats: 10, Received: 40, Syncs: 3}
	same := LoadRound{Requests: 1000, Seconds: 20, Heartbeats: 20, Received: 80, Syncs: 6}
	if g := growth(small, same); g != (PerRequest{}) {
		t.Errorf("twice as long, and nothing else: %+v", g)
	}
	perRequest := same
	perRequest.Received += 900
	perRequest.Wakes, perRequest.Revisions = 450, 9
	g := growth(small, perRequest)
	if g.Received != 1 || g.Wakes != 0.5 || math.Abs(g.Revisions-0.01) > 1e-9 || g.Heartbeats != 0 || g.Syncs != 0 {
		t.Errorf("one message and half a wake by request: %+v", g)
	}
}

func TestSpreadAndQuantilesAreMeasuredValues(t *testing.T) {
	if s := spread([]float64{3, 1, 2}); s != (Spread{P50: 2, P99: 3, Max: 3}) {
		t.Errorf("%+v", s)
	}
	if s := spread(nil); s != (Spread{}) {
		t.Errorf("of nothing: %+v", s)
	}
	at := time.Now()
	if p := percent(usage{at: at, cpu: 1}, usage{at: at.Add(10 * time.Second), cpu: 1.5}); p != 5 {
		t.Errorf("half a second in ten is %v %%", p)
	}
	if p := percent(usage{at: at}, usage{at: at, cpu: 1}); p != 0 {
		t.Errorf("in no time: %v %%", p)
	}
}

// TestARenamedMetricIsAnError: what is not there must not look like nothing happened.
func TestARenamedMetricIsAnError(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("# TYPE a_total counter\na_total{direction=\"in\"} 3\na_total{direction=\"out\"} 4\n# TYPE b gauge\nb 7\n"))
	}))
	defer srv.Close()
	m, err := scrape(t.Context(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		family, label string
		want          float64
	}{{"a_total", "", 7}, {"a_total", "out", 4}, {"a_total", "sideways", 0}, {"b", "", 7}} {
		if got, err := m.sum(c.family, c.label); got != c.want || err != nil {
			t.Errorf("%s %s: %v, %v, want %v", c.family, c.label, got, err, c.want)
		}
	}
	if _, err := m.sum("c_total", ""); err == nil || !strings.Contains(err.Error(), "c_total") {
		t.Errorf("a metric that is not there: %v", err)
	}
	if _, err := scrape(t.Context(), srv.URL+"/elsewhere"); err == nil {
		t.Error("404 is no set of metrics")
	}
}

func TestDeciderIsMeasured(t *testing.T) {
	if n := decideRate(); n <= 0 {
		t.Errorf("%v decisions/s", n)
	}
}
