package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"stoker.dev/stoker/functions"
)

func jobPath(k functions.Key, sub string) string {
	p := "jobs/" + url.PathEscape(k.Namespace) + "/" + url.PathEscape(k.Name)
	if sub != "" {
		p += "/" + sub
	}
	return p
}

// Submit submits the jobs in data, all or none.
func (c *Client) Submit(ctx context.Context, file string, data []byte, dryRun bool) ([]Submitted, error) {
	q := url.Values{"file": {file}}
	if dryRun {
		q.Set("dryRun", "1")
	}
	var out []Submitted
	err := c.call(ctx, http.MethodPost, "jobs", q, data, &out)
	return out, err
}

// Jobs returns the jobs of a namespace, or of all with "", newest first.
func (c *Client) Jobs(ctx context.Context, namespace string) ([]Job, error) {
	var out []Job
	err := c.call(ctx, http.MethodGet, "jobs", url.Values{"namespace": {namespace}}, nil, &out)
	return out, err
}

// JobQueues returns the queues that jobs of a namespace may wait in, or all with "".
func (c *Client) JobQueues(ctx context.Context, namespace string) ([]JobQueue, error) {
	var out []JobQueue
	err := c.call(ctx, http.MethodGet, "jobqueues", url.Values{"namespace": {namespace}}, nil, &out)
	return out, err
}

// Job returns one job.
func (c *Client) Job(ctx context.Context, k functions.Key) (Job, error) {
	var out Job
	err := c.call(ctx, http.MethodGet, jobPath(k, ""), nil, nil, &out)
	return out, err
}

// Steer does something to a job.
func (c *Client) Steer(ctx context.Context, k functions.Key, op JobOp) error {
	return c.send(ctx, jobPath(k, "steer"), SteerRequest{op}, nil)
}

// RemoveJob forgets a job that is at its end.
func (c *Client) RemoveJob(ctx context.Context, k functions.Key) error {
	return c.call(ctx, http.MethodDelete, jobPath(k, ""), nil, nil, nil)
}

// JobLogs opens the output of a rank of the newest gang. The caller closes it.
func (c *Client) JobLogs(ctx context.Context, k functions.Key, rank, tail int, follow bool) (io.ReadCloser, error) {
	q := url.Values{"rank": {strconv.Itoa(rank)}, "tail": {strconv.Itoa(tail)}}
	if follow {
		q.Set("follow", "1")
	}
	resp, err := c.do(ctx, http.MethodGet, "/api/v1/"+jobPath(k, "logs"), q, nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
