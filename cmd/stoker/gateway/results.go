package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"stoker.dev/stoker/events"
)

const (
	// maxResultWait bounds a long poll: past it a client asks again.
	maxResultWait = time.Hour
	// maxWaiters bounds long polls, each of which is a consumer of the broker.
	maxWaiters = 256
)

// wait takes one of the places for those who wait for a record.
func (g *Gateway) wait() bool {
	select {
	case g.waiters <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g *Gateway) waited() { <-g.waiters }

// serveResult is GET /results/{ns}/{fn}/{id}. A record that is there is an answer, however
// the request ended: its status is in Stoker-Status.
func (g *Gateway) serveResult(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	wait, refused := durationParam(q, "wait", maxResultWait)
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	rec, refused := g.result(r.Context(), r, q.Get("source"), wait)
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	writeRecord(w, rec, http.StatusOK)
}

func (g *Gateway) result(ctx context.Context, r *http.Request, source string, wait time.Duration) (events.Record, *refusal) {
	k, id := pathKey(r), r.PathValue("id")
	rec, err := g.Bus.GetRecord(ctx, k, id, source)
	if errors.Is(err, events.ErrNotFound) && wait > 0 {
		if !g.wait() {
			return rec, refuse(http.StatusServiceUnavailable, causeBusy, "too many callers wait for records", "ask without ?wait").after(retrySoon)
		}
		defer g.waited()
		waiting, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		rec, err = g.Bus.WatchRecord(waiting, k, id, source)
		if err != nil && waiting.Err() != nil {
			err = events.ErrNotFound
		}
	}
	switch {
	case err == nil:
		return rec, nil
	case !errors.Is(err, events.ErrNotFound):
		return rec, refusalOf(err)
	}
	if _, deployed := g.Control.Admission(k); !deployed {
		return rec, g.unknown(ctx, k)
	}
	return rec, refuse(http.StatusNotFound, causeNotFound, "there is no record of request "+id+" of "+k.String(),
		"it has not ended yet (?wait=30s waits), its retention is over, or it was never accepted")
}
