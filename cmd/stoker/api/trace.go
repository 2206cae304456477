package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"stoker.dev/stoker/events"
)

// HeaderTrace is the header of a trace, with its [TraceSummary] as JSON.
const HeaderTrace = "Stoker-Trace"

// TraceFilter chooses what was recorded; empty fields choose all.
type TraceFilter struct {
	Namespace, Function string
	Since               string // as [ParseSince] reads it; by arrival
}

// TraceSummary says what a trace holds.
type TraceSummary struct {
	Requests  int       `json:"requests"`
	Functions int       `json:"functions"`
	First     time.Time `json:"first,omitzero"` // arrival
	Last      time.Time `json:"last,omitzero"`
	// Skipped are records, by how they ended, of requests whose service time nobody knows: they never ran, or not to
	// their end.
	Skipped map[events.Status]int `json:"skipped,omitempty"`
}

// Trace opens what was recorded as a trace: CSV with the columns arrival_s, model (the function) and exec_s, in the order
// of arrival. The caller closes it.
func (c *Client) Trace(ctx context.Context, f TraceFilter) (io.ReadCloser, TraceSummary, error) {
	q := url.Values{}
	for name, value := range map[string]string{"namespace": f.Namespace, "function": f.Function, "since": f.Since} {
		if value != "" {
			q.Set(name, value)
		}
	}
	var s TraceSummary
	resp, err := c.do(ctx, http.MethodGet, "/api/v1/trace", q, nil, nil)
	if err != nil {
		return nil, s, err
	}
	if err := json.Unmarshal([]byte(resp.Header.Get(HeaderTrace)), &s); err != nil {
		_ = resp.Body.Close()
		return nil, s, fmt.Errorf("read the answer of %s: header %s: %w", c.base, HeaderTrace, err)
	}
	return resp.Body, s, nil
}
