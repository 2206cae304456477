package gateway

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// ended writes the record of a request that arrived at some second of this test's hour.
func (w *world) ended(k functions.Key, id string, status events.Status, arrived, waited, took time.Duration) {
	w.t.Helper()
	at := time.Now().UTC().Truncate(time.Hour).Add(-time.Hour).Add(arrived)
	rec := events.Record{ID: id, Source: "s", Function: k, Class: functions.Standard, Status: status, Attempt: 1, Published: at, Ended: at.Add(waited + took)}
	if took > 0 {
		rec.Started = at.Add(waited)
	}
	_, err := w.bus.WriteRecord(w.ctx(), rec, time.Hour)
	must(w.t, err)
}

// TestTraceIsWhatWasRecorded, in the order of arrival, for those who may look; what did not run to its end is counted.
func TestTraceIsWhatWasRecorded(t *testing.T) {
	w := newWorld(t)
	secret := functions.Key{Namespace: "secret", Name: "model"}
	w.ended(fn, "2", events.StatusOK, 2500*time.Millisecond, 0, time.Second)
	w.ended(fn, "1", events.StatusOK, time.Second, 5*time.Second, 250*time.Millisecond)
	w.ended(secret, "3", events.StatusError, 4*time.Second, 0, 2*time.Second)
	w.ended(fn, "4", events.StatusShed, 5*time.Second, 0, 0)
	w.ended(fn, "5", events.StatusExpired, 6*time.Second, time.Second, time.Second)
	w.ended(fn, "6", events.StatusError, 7*time.Second, time.Second, 0)
	root, alice := w.user("root", access.Admin, access.Everywhere), w.user("alice", access.Viewer, "default")

	const mine = "arrival_s,model,exec_s\n0,default/tinylm,0.25\n1.5,default/tinylm,1\n"
	for path, c := range map[string]struct {
		who  []string
		want string
	}{
		"/api/v1/trace":          {root, mine + "3,secret/model,2\n"},
		"/api/v1/trace?since=7d": {alice, mine},
		"/api/v1/trace?namespace=default&function=tinylm":    {alice, mine},
		"/api/v1/trace?namespace=secret":                     {root, "arrival_s,model,exec_s\n0,secret/model,2\n"},
		"/api/v1/trace?since=0s":                             {root, "arrival_s,model,exec_s\n"},
		"/api/v1/trace?namespace=default&function=not-there": {root, "arrival_s,model,exec_s\n"},
	} {
		if r := w.get(path, c.who...); r.StatusCode != http.StatusOK || r.body != c.want {
			t.Errorf("%s: %d %s, want %s", path, r.StatusCode, r.body, c.want)
		}
	}
	var s api.TraceSummary
	must(t, json.Unmarshal([]byte(w.get("/api/v1/trace", root...).Header.Get(api.HeaderTrace)), &s))
	if s.Requests != 3 || s.Functions != 2 || s.Last.Sub(s.First) != 3*time.Second || s.Skipped[events.StatusShed] != 1 || s.Skipped[events.StatusExpired] != 1 || s.Skipped[events.StatusError] != 1 {
		t.Errorf("%+v", s)
	}
	for path, code := range map[string]int{
		"/api/v1/trace?namespace=secret": http.StatusForbidden, "/api/v1/trace?since=soon": http.StatusBadRequest, "/api/v1/trace?function=*": http.StatusBadRequest,
	} {
		if r := w.get(path, alice...); r.StatusCode != code {
			t.Errorf("%s: %d %s, want %d", path, r.StatusCode, r.body, code)
		}
	}
}
