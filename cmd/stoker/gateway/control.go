package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
)

// maxOrder bounds the JSON of one order to the control API; the largest lists sequences of
// dead letters.
const maxOrder = 1 << 20

// control is the control API below /api/v1/, as package api documents it, and who may use what.
func (g *Gateway) control() http.Handler {
	mux := http.NewServeMux()
	const fn = "/api/v1/functions/{ns}/{fn}"
	mux.HandleFunc("GET /api/v1/functions", g.listFunctions)
	mux.HandleFunc("POST /api/v1/functions", g.applyFunctions)
	mux.HandleFunc("GET "+fn, may(access.Look, func(w http.ResponseWriter, r *http.Request) {
		f, err := g.Control.Get(r.Context(), pathKey(r))
		g.write(w, r, f, err)
	}))
	mux.HandleFunc("DELETE "+fn, may(access.Deploy, g.deleteFunction))
	mux.HandleFunc("GET "+fn+"/explain", may(access.Look, func(w http.ResponseWriter, r *http.Request) {
		e, err := g.Control.Explain(r.Context(), pathKey(r))
		g.write(w, r, e, err)
	}))
	mux.HandleFunc("POST "+fn+"/scale", may(access.Deploy, order(g, func(ctx context.Context, k functions.Key, o api.ScaleRequest) (any, error) {
		return struct{}{}, g.Control.Scale(ctx, k, o.Replicas)
	})))
	mux.HandleFunc("POST "+fn+"/pause", may(access.Deploy, order(g, func(ctx context.Context, k functions.Key, o api.PauseRequest) (any, error) {
		return struct{}{}, g.Control.Pause(ctx, k, o.Paused)
	})))
	mux.HandleFunc("GET "+fn+"/logs", may(access.ReadLogs, g.logs))
	mux.HandleFunc("GET "+fn+"/dead", may(access.DeadLetters, g.listDead))
	mux.HandleFunc("POST "+fn+"/dead", may(access.DeadLetters, order(g, g.redeem)))
	g.jobRoutes(mux)
	mux.HandleFunc("GET /api/v1/events", g.tail)
	mux.HandleFunc("GET /api/v1/status", g.status)
	mux.HandleFunc("GET /api/v1/cost", g.cost)
	mux.HandleFunc("GET /api/v1/trace", g.trace)
	mux.HandleFunc("POST /api/v1/logins", may(access.Administer, g.newLogin))
	mux.HandleFunc("/api/v1/", func(w http.ResponseWriter, r *http.Request) {
		if p := principal(r.Context()); deny(w, somewhere(p, access.Look)) {
			return
		}
		writeRefusal(w, refuse(http.StatusNotFound, causeNotFound, "there is no "+r.Method+" "+clip(r.URL.Path), "CLI and platform may be of different versions: compare `stoker version`"))
	})
	return mux
}

// somewhere is why a principal may do something in no namespace at all, if so.
func somewhere(p access.Principal, a access.Action) error {
	if p.Somewhere(a) {
		return nil
	}
	return p.Check(a, "")
}

// write answers with what the controller said.
func (g *Gateway) write(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		refused := refusalOf(err)
		if refused.Code >= http.StatusInternalServerError {
			g.Log.Warn("control API", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		writeRefusal(w, refused)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func (g *Gateway) listFunctions(w http.ResponseWriter, r *http.Request) {
	list(g, w, r, g.Control.List, func(f api.Function) functions.Key { return f.Key })
}

// list shows what the asker may see, of one namespace or of all.
func list[T any](g *Gateway, w http.ResponseWriter, r *http.Request, of func(ctx context.Context, namespace string) ([]T, error), key func(T) functions.Key) {
	p, namespace := principal(r.Context()), r.URL.Query().Get("namespace")
	if namespace != "" && deny(w, p.Check(access.Look, namespace)) || deny(w, somewhere(p, access.Look)) {
		return
	}
	all, err := of(r.Context(), namespace)
	seen := []T{}
	for _, v := range all {
		if p.May(access.Look, key(v).Namespace) {
			seen = append(seen, v)
		}
	}
	g.write(w, r, seen, err)
}

// status is that of the whole platform. Which functions hold how many GPUs is no secret among
// those who share a pool: it is why another one waits.
func (g *Gateway) status(w http.ResponseWriter, r *http.Request) {
	if deny(w, somewhere(principal(r.Context()), access.Look)) {
		return
	}
	p, err := g.Control.Platform(r.Context())
	g.write(w, r, p, err)
}

func (g *Gateway) applyFunctions(w http.ResponseWriter, r *http.Request) {
	fns, dryRun, ok := manifests(g, w, r, functions.Parse)
	if !ok {
		return
	}
	applied, err := g.Control.Apply(r.Context(), fns, dryRun)
	if applied == nil {
		applied = []api.Applied{}
	}
	g.write(w, r, applied, err)
}

// manifests reads manifests as they are in their files. Where one of them cannot be read, or the asker may
// not deploy it, none is taken: ok is false, and the asker has been told.
func manifests[M interface{ Key() functions.Key }](g *Gateway, w http.ResponseWriter, r *http.Request, parse func(file string, data []byte) ([]M, error)) (ms []M, dryRun, ok bool) {
	q := r.URL.Query()
	if deny(w, somewhere(principal(r.Context()), access.Deploy)) {
		return // before the body is read
	}
	dryRun, refused := boolParam(q, "dryRun")
	if refused == nil && !dryRun {
		refused = g.storable()
	}
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, functions.MaxInputBytes))
	if err != nil {
		writeRefusal(w, bodyError(err))
		return
	}
	ms, err = parse(q.Get("file"), data)
	if err != nil {
		writeRefusal(w, refuse(http.StatusUnprocessableEntity, "bad-manifest", err.Error(), ""))
		return
	}
	for _, m := range ms {
		if denied(w, r, access.Deploy, m.Key().Namespace) {
			return
		}
	}
	return ms, dryRun, true
}

func (g *Gateway) deleteFunction(w http.ResponseWriter, r *http.Request) {
	k := pathKey(r)
	if err := g.Control.Delete(r.Context(), k); err != nil {
		g.write(w, r, nil, err)
		return
	}
	g.depths.forget(k)
	g.metrics.forget(k)
	w.WriteHeader(http.StatusAccepted)
}

// order reads one JSON value strictly and hands it on.
func order[T any](g *Gateway, do func(context.Context, functions.Key, T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var v T
		if refused := readJSON(w, r, &v); refused != nil {
			writeRefusal(w, refused)
			return
		}
		out, err := do(r.Context(), pathKey(r), v)
		g.write(w, r, out, err)
	}
}

// readJSON refuses fields that v does not have, and anything after it.
func readJSON(w http.ResponseWriter, r *http.Request, v any) *refusal {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON value")
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refusalOf(err)
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "bad-request", fmt.Sprintf("the body is not the JSON that is wanted: %v", err), "CLI and platform may be of different versions: compare `stoker version`")
	}
	return nil
}
