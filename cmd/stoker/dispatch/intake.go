package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Answer is what a submission by event is answered with.
type Answer struct {
	Accepted bool            `json:"accepted"`
	Jobs     []api.Submitted `json:"jobs,omitempty"`
	Errors   []string        `json:"errors,omitempty"` // every one that was found
}

// Take answers a submission by event. It is idempotent by the event's source and id. With an error
// nothing is decided, and the submission comes again.
func (d *Dispatcher) Take(ctx context.Context, s events.Submission) (any, int, error) {
	refuse := func(code int, why error) (any, int, error) {
		return Answer{Errors: strings.Split(strings.TrimSpace(why.Error()), "\n")}, code, nil
	}
	if s.Malformed != nil {
		return refuse(http.StatusBadRequest, s.Malformed)
	}
	js, err := functions.ParseJobs("event "+s.Event.ID, s.Event.Data)
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, err)
	}
	var problems []error
	for _, j := range js {
		if ns := j.Metadata.Namespace; ns != s.Namespace {
			problems = append(problems, fmt.Errorf("job %s: it was published for namespace %s; write metadata.namespace: %s, or publish it to %s", j.Key(), s.Namespace, s.Namespace, events.SubmitSubject(ns)))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return refuse(http.StatusUnprocessableEntity, err)
	}
	out, err := d.Submit(ctx, js, api.Origin{Source: s.Event.Source, ID: s.Event.ID, At: s.Stored}, false)
	if remote := (*api.Error)(nil); errors.As(err, &remote) && remote.Code < http.StatusInternalServerError {
		return refuse(remote.Code, remote)
	}
	if err != nil {
		return nil, 0, err
	}
	return Answer{Accepted: true, Jobs: out}, http.StatusOK, nil
}
