package gateway

import (
	"context"
	"io"
	"net/http"
	"slices"

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
	mux.HandleFunc("GET /api/v1/jobqueues", g.listJobQueues)
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
	list(g, w, r, g.Jobs.Jobs, func(j api.Job) functions.Key { return j.Key })
}

// listJobQueues shows the queue that namespaces share to everybody who may look at one of them.
func (g *Gateway) listJobQueues(w http.ResponseWriter, r *http.Request) {
	p, namespace := principal(r.Context()), r.URL.Query().Get("namespace")
	if namespace != "" && deny(w, p.Check(access.Look, namespace)) || deny(w, somewhere(p, access.Look)) {
		return
	}
	all, err := g.Jobs.JobQueues(r.Context(), namespace)
	seen := slices.DeleteFunc(all, func(q api.JobQueue) bool { return q.Namespace != "" && !p.May(access.Look, q.Namespace) })
	g.write(w, r, append([]api.JobQueue{}, seen...), err)
}

func (g *Gateway) submitJobs(w http.ResponseWriter, r *http.Request) {
	js, dryRun, ok := manifests(g, w, r, functions.ParseJobs)
	if !ok {
		return
	}
	out, err := g.Jobs.Submit(r.Context(), js, api.Origin{User: submitter(principal(r.Context()))}, dryRun)
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
	rank, refused := intParam(r.URL.Query(), "rank", 0, functions.MaxNodes)
	if refused != nil {
		writeRefusal(w, refused)
		return
	}
	g.copyLogs(w, r, func(ctx context.Context, o activities.LogOptions) (io.ReadCloser, error) {
		return g.Jobs.JobLogs(ctx, pathKey(r), rank, o)
	})
}
