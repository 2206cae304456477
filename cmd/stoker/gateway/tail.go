package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

const (
	// maxTailLines bounds ?tail; logs are rotated long before.
	maxTailLines = 1_000_000
	// maxSince bounds ?since: events are kept for a day, and no one waits a year.
	maxSince = 365 * 24 * time.Hour
	logBlock = 32 << 10 // bytes written and flushed at a time
)

// tail is GET /api/v1/events: one JSON object per line.
func (g *Gateway) tail(w http.ResponseWriter, r *http.Request) {
	o, refused := g.tailOptions(r)
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	who := principal(r.Context())
	if o.Function.Namespace != "" && deny(w, who.Check(access.Look, o.Function.Namespace)) || deny(w, somewhere(who, access.Look)) {
		return
	}
	out := open(w, "application/x-ndjson")
	ctx, leave := g.follow(r)
	defer leave(nil)
	err := g.Bus.Tail(ctx, o, func(n events.Notice) error {
		if !who.May(access.Look, n.Key.Namespace) {
			return nil
		}
		line, err := json.Marshal(noticeEvent(n))
		if err != nil {
			return err
		}
		return out.send(append(line, '\n'))
	})
	g.abort(r, errors.Join(err, context.Cause(ctx)))
}

// tailOptions: without since a follower wants what comes, anybody else what there is.
func (g *Gateway) tailOptions(r *http.Request) (o events.TailOptions, refused *refusal) {
	q := r.URL.Query()
	since, refused := durationParam(q, "since", maxSince)
	if refused == nil {
		o.Follow, refused = boolParam(q, "follow")
	}
	o.Function = functions.Key{Namespace: q.Get("namespace"), Name: q.Get("function")}
	for what, name := range map[string]string{"?namespace": o.Function.Namespace, "?function": o.Function.Name} {
		if refused == nil && name != "" && !functions.ValidName(name) {
			refused = badRequest(what, name, "a DNS-1123 label")
		}
	}
	switch {
	case since > 0:
		o.Since = g.Now().Add(-since)
	case !o.Follow:
		o.Since = time.Unix(0, 1)
	}
	return o, refused
}

func noticeEvent(n events.Notice) api.Event {
	e := api.Event{Seq: n.Seq, At: n.At, Key: n.Key, Kind: n.Kind, What: n.What}
	if len(n.Data) > 0 && json.Unmarshal(n.Data, &e.Data) != nil {
		e.Data = map[string]any{"value": n.Data}
	}
	return e
}

// logs is GET …/logs: what a replica's model server writes, as it comes.
func (g *Gateway) logs(w http.ResponseWriter, r *http.Request) {
	g.copyLogs(w, r, func(ctx context.Context, o activities.LogOptions) (io.ReadCloser, error) {
		return g.Control.Logs(ctx, pathKey(r), r.URL.Query().Get("replica"), o)
	})
}

// copyLogs hands on what a log holds and, if asked to, what is written to it afterwards.
func (g *Gateway) copyLogs(w http.ResponseWriter, r *http.Request, of func(context.Context, activities.LogOptions) (io.ReadCloser, error)) {
	q := r.URL.Query()
	lines, refused := intParam(q, "tail", 0, maxTailLines)
	var follow bool
	if refused == nil {
		follow, refused = boolParam(q, "follow")
	}
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	ctx, leave := g.follow(r)
	defer leave(nil)
	from, err := of(ctx, activities.LogOptions{Tail: lines, Follow: follow})
	if err != nil {
		g.write(w, r, nil, err)
		return
	}
	defer from.Close()
	_, err = io.CopyBuffer(open(w, "text/plain; charset=utf-8"), onlyReader{from}, make([]byte, logBlock))
	g.abort(r, errors.Join(err, context.Cause(ctx)))
}

// onlyReader keeps io.Copy from handing the whole of a reader over at once.
type onlyReader struct{ io.Reader }

// abort breaks the connection off, so that the caller sees that something is missing: what
// was written so far looks complete otherwise.
func (g *Gateway) abort(r *http.Request, err error) {
	if err == nil || r.Context().Err() != nil {
		return
	}
	g.Log.Warn("broke off an answer", "path", r.URL.Path, "error", err)
	panic(http.ErrAbortHandler)
}
