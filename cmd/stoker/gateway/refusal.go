package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Causes of refusals, beside those of terminal records.
const (
	causeNotFound     = "not-found"
	causeDraining     = "draining"
	causeBusy         = "gateway-busy"
	causeTooLarge     = "too-large"
	causeBroker       = "broker-unavailable"
	causeNotKept      = "answer-not-kept"
	causeLost         = "answer-lost"
	causeForbidden    = "forbidden"
	causeUnauthorized = "unauthorized"
)

// retrySoon is the Retry-After, in seconds, where a moment's wait is likely to help.
const retrySoon = 1

// CauseDiskLow is the cause of a refusal while the disk that requests are stored on has too
// little room.
const CauseDiskLow = "disk-low"

// retryStorage is the Retry-After, in seconds, where somebody has to make room first.
const retryStorage = 10

// refusal is an answer that is no result. Nothing was stored where it comes before one is.
type refusal struct {
	api.Error
	RetryAfter int           `json:"retryAfterSeconds,omitempty"`
	status     events.Status // "" is error
}

func refuse(code int, cause, message, hint string) *refusal {
	return &refusal{Error: api.Error{Code: code, Cause: cause, Message: message, Hint: hint}}
}

func (r *refusal) after(seconds int) *refusal {
	r.RetryAfter = max(seconds, retrySoon)
	return r
}

func (r *refusal) shed() *refusal {
	r.status = events.StatusShed
	return r
}

func (r *refusal) expired() *refusal {
	r.status = events.StatusExpired
	return r
}

// Status in the words of terminal records.
func (r *refusal) Status() events.Status {
	if r.status == "" {
		return events.StatusError
	}
	return r.status
}

// body is the one shape of errors, the same over HTTP, NATS and server-sent events.
func (r *refusal) body() []byte {
	data, err := json.Marshal(struct {
		Error *refusal `json:"error"`
	}{r})
	if err != nil {
		return []byte(`{"error":{"code":500,"message":"unprintable error"}}`)
	}
	return data
}

// header answers a plain NATS request: those of NATS micro, which stock clients show, and
// the platform's own.
func (r *refusal) header() events.Header {
	h := events.Header{
		events.HeaderStatus:    {string(r.Status())},
		events.HeaderErrorCode: {strconv.Itoa(r.Code)},
		events.HeaderError:     {events.OneLine(r.Message)},
		"Content-Type":         {"application/json"},
	}
	if r.Cause != "" {
		h[events.HeaderCause] = []string{events.OneLine(r.Cause)}
	}
	if r.RetryAfter > 0 {
		h[events.HeaderRetry] = []string{strconv.Itoa(r.RetryAfter)}
	}
	return h
}

// refusalOf is what a caller is told of an error.
func refusalOf(err error) *refusal {
	var known *api.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return &refusal{Error: *known}
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, causeTooLarge, fmt.Sprintf("the body is larger than the %d bytes that are allowed", tooLarge.Limit), "send a reference to the data instead")
	case errors.Is(err, events.ErrTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, causeTooLarge, err.Error(), "")
	case errors.Is(err, events.ErrMalformed):
		return refuse(http.StatusBadRequest, events.CauseBadRequest, err.Error(), "")
	case errors.Is(err, events.ErrQueueFull):
		return refuse(http.StatusTooManyRequests, events.CauseQueueFull, err.Error(), "").after(retrySoon).shed()
	case errors.Is(err, events.ErrNoRoom):
		return refuse(http.StatusInsufficientStorage, CauseDiskLow, err.Error(), "").after(retryStorage)
	case errors.Is(err, events.ErrNotDeployed), errors.Is(err, events.ErrNotFound), errors.Is(err, activities.ErrNoReplica):
		return refuse(http.StatusNotFound, causeNotFound, err.Error(), "")
	case errors.Is(err, events.ErrConflict):
		return refuse(http.StatusConflict, "conflict", err.Error(), "try again")
	case errors.Is(err, events.ErrNotConnected), errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, causeBroker, err.Error(), "it comes back by itself; try again").after(retrySoon)
	default:
		return refuse(http.StatusInternalServerError, "internal", err.Error(), "the platform's log says more")
	}
}

func draining() *refusal {
	return refuse(http.StatusServiceUnavailable, causeDraining, "the platform is stopping and takes no new requests", "try again once it is back").after(retrySoon)
}

func badRequest(what, value, allowed string) *refusal {
	return refuse(http.StatusBadRequest, events.CauseBadRequest, fmt.Sprintf("%s is %q; allowed: %s", what, clip(value), allowed), "")
}

// clip bounds how much of a caller's text is repeated.
func clip(value string) string {
	const longest = 80 // bytes
	if len(value) > longest {
		return value[:longest] + "…"
	}
	return value
}

func deleting(k functions.Key) *refusal {
	return refuse(http.StatusNotFound, events.CauseDeleted, "function "+k.String()+" is being deleted", "`stoker get` lists what is deployed")
}

// failing is the fast answer of a function whose replicas keep ending unasked.
func failing(k functions.Key, a api.Admission) *refusal {
	message := fmt.Sprintf("replicas of %s keep failing: %s", k, a.Failing.Summary())
	return refuse(http.StatusServiceUnavailable, events.CauseCrashLoop, message, "`stoker explain "+k.String()+"` says more; a replica is tried again after the backoff").
		after(a.RetryAfterSeconds)
}
