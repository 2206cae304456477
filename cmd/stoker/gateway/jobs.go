package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
)

// jobRoutes are those of training jobs.
func (g *Gateway) jobRoutes(mux *http.ServeMux) {
	const one = "/api/v1/jobs/{ns}/{fn}"
	mux.HandleFunc("GET /api/v1/jobs", g.listJobs)
	mux.HandleFunc("POST /api/v1/jobs", g.submitJobs)
	mux.HandleFunc("GET "+one, may(access.Look, func(w http.ResponseWriter, r *http.Request) {
		j, err := g.Jobs.Job(r.Context(), pathKey(r))
		g.write(w, r, j, err)
	}))
	mux.HandleFunc("DELETE "+one, may(access.Deploy, func(w http.ResponseWriter, r *http.Request) {
		g.write(w, r, struct{}{}, g.Jobs.Remove(r.Context(), pathKey(r)))
	}))
	mux.HandleFunc("POST "+one+"/steer", may(access.Deploy, order(g, func(ctx context.Context, k functions.Key, o api.SteerRequest) (any, error) {
		return struct{}{}, g.Jobs.Steer(ctx, k, o.Op)
	})))
	mux.HandleFunc("GET "+one+"/logs", may(access.ReadLogs, g.jobLogs))
}

func (g *Gateway) listJobs(w http.ResponseWriter, r *http.Request) {
	p, namespace := principal(r.Context()), r.URL.Query().Get("namespace")
	if namespace != "" && deny(w, p.Check(access.Look, namespace)) || deny(w, somewhere(p, access.Look)) {
		return
	}
	all, err := g.Jobs.Jobs(r.Context(), namespace)
	seen := []api.Job{}
	for _, j := range all {
		if p.May(access.Look, j.Key.Namespace) {
			seen = append(seen, j)
		}
	}
	g.write(w, r, seen, err)
}

// submitJobs reads manifests as they are in their files, all or none.
func (g *Gateway) submitJobs(w http.ResponseWriter, r *http.Request) {
	who, q := principal(r.Context()), r.URL.Query()
	if deny(w, somewhere(who, access.Deploy)) {
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
	js, err := functions.ParseJobs(q.Get("file"), data)
	if err != nil {
		writeRefusal(w, refuse(http.StatusUnprocessableEntity, "bad-manifest", err.Error(), ""))
		return
	}
	for _, j := range js {
		if denied(w, r, access.Deploy, j.Key().Namespace) {
			return // all of them or none
		}
	}
	out, err := g.Jobs.Submit(r.Context(), js, api.Origin{User: submitter(who)}, dryRun)
	if out == nil {
		out = []api.Submitted{}
	}
	g.write(w, r, out, err)
}

// submitter is whose job it is; whoever holds the platform's own token is nobody in particular.
func submitter(p access.Principal) string {
	if p.Name == access.Platform().Name {
		return ""
	}
	return p.Name
}

// jobLogs is what a rank's program writes, as it comes.
func (g *Gateway) jobLogs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	lines, refused := intParam(q, "tail", 0, maxTailLines)
	rank, wrong := intParam(q, "rank", 0, functions.MaxNodes)
	var follow bool
	if refused == nil {
		refused = wrong
	}
	if refused == nil {
		follow, refused = boolParam(q, "follow")
	}
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	ctx, leave := g.follow(r)
	defer leave(nil)
	from, err := g.Jobs.JobLogs(ctx, pathKey(r), rank, activities.LogOptions{Tail: lines, Follow: follow})
	if err != nil {
		g.write(w, r, nil, err)
		return
	}
	defer from.Close()
	_, err = io.CopyBuffer(open(w, "text/plain; charset=utf-8"), onlyReader{from}, make([]byte, logBlock))
	g.abort(r, errors.Join(err, context.Cause(ctx)))
}
