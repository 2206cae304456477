package events

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"stoker.dev/stoker/functions"
)

// Headers of records and replies. A record's payload is the answer itself, so that stock
// tools print it: nats stream get STOKER_RESULTS --last-for <subject>.
const (
	HeaderStatus    = "Stoker-Status"
	HeaderID        = "Stoker-Id"
	HeaderAttempt   = "Stoker-Attempt"
	HeaderCause     = "Stoker-Cause"
	HeaderMessage   = "Stoker-Message"
	HeaderSource    = "Stoker-Source"
	HeaderFunction  = "Stoker-Function"
	HeaderClass     = "Stoker-Class"
	HeaderRedrive   = "Stoker-Redrive"
	HeaderRevision  = "Stoker-Revision"
	HeaderReplica   = "Stoker-Replica"
	HeaderPublished = "Stoker-Published"
	HeaderStarted   = "Stoker-Started"
	HeaderEnded     = "Stoker-Ended"
	HeaderRetry     = "Retry-After" // seconds
	HeaderBackend   = "Stoker-Backend-Status"
	HeaderCopy      = "Stoker-Copy"
	headerKey       = "Stoker-Key"

	// Headers of NATS micro, which stock clients show as errors.
	HeaderErrorCode = "Nats-Service-Error-Code"
	HeaderError     = "Nats-Service-Error"
)

// recordHeaders is how many headers a record has at most, with those that publishing adds.
const recordHeaders = 24

// header writes everything but the answer. Values that people or models wrote are
// percent-encoded like CloudEvents attributes.
func (r Record) header() Header {
	h := make(Header, recordHeaders)
	values := make([]string, 0, recordHeaders) // one allocation for all of them
	add := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	put := func(name, value string) {
		if value != "" {
			add(name, percentEncode(value))
		}
	}
	putInt := func(name string, n int) {
		if n != 0 {
			add(name, strconv.Itoa(n))
		}
	}
	put(HeaderStatus, string(r.Status))
	put(HeaderID, r.ID)
	put(HeaderSource, r.Source)
	put(HeaderFunction, r.Function.String())
	put(HeaderClass, string(r.Class))
	put(HeaderCause, r.Cause)
	put(HeaderMessage, r.Message)
	put(HeaderRevision, r.Revision)
	put(HeaderReplica, r.Replica)
	put(HeaderPublished, formatTime(r.Published))
	put(HeaderStarted, formatTime(r.Started))
	put(HeaderEnded, formatTime(r.Ended))
	put(headerKey, r.key)
	putInt(HeaderAttempt, r.Attempt)
	putInt(HeaderRedrive, r.Redrive)
	putInt(HeaderRetry, r.RetryAfter)
	putInt(HeaderBackend, r.Backend)
	if r.Copy {
		add(HeaderCopy, "true")
	}
	if content := r.ContentType; content != "" {
		add(contentType, OneLine(content))
	} else if r.Status != StatusOK && len(r.Body) == 0 {
		add(contentType, "application/json")
	}
	return h
}

// parseRecord reads back what header and payload wrote.
func parseRecord(h Header, body []byte) (Record, error) {
	get := func(name string) string { return percentDecode(h.Get(name)) }
	r := Record{
		ID: get(HeaderID), Source: get(HeaderSource), Class: functions.Class(get(HeaderClass)),
		Status: Status(get(HeaderStatus)), Cause: get(HeaderCause), Message: get(HeaderMessage),
		Revision: get(HeaderRevision), Replica: get(HeaderReplica),
		ContentType: h.Get(contentType), Body: body, Copy: h.Get(HeaderCopy) == "true", key: get(headerKey),
	}
	ns, name, _ := strings.Cut(get(HeaderFunction), "/")
	r.Function = functions.Key{Namespace: ns, Name: name}
	switch r.Status {
	case StatusOK, StatusError, StatusExpired, StatusShed:
	default:
		return r, fmt.Errorf("%w: %s %q, allowed: ok, error, expired, shed", ErrSubject, HeaderStatus, r.Status)
	}
	return r, r.parseNumbers(h)
}

func (r *Record) parseNumbers(h Header) (err error) {
	for name, to := range map[string]*int{HeaderAttempt: &r.Attempt, HeaderRedrive: &r.Redrive, HeaderRetry: &r.RetryAfter, HeaderBackend: &r.Backend} {
		if v := h.Get(name); v != "" && err == nil {
			*to, err = strconv.Atoi(v)
		}
	}
	for name, to := range map[string]*time.Time{HeaderPublished: &r.Published, HeaderStarted: &r.Started, HeaderEnded: &r.Ended} {
		if v := h.Get(name); v != "" && err == nil {
			*to, err = time.Parse(time.RFC3339Nano, v)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: record %s: %w", ErrSubject, r.ID, err)
	}
	return nil
}

// OneLine makes a text fit for a header: a model server's words, say, must not add headers.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7F {
			return ' '
		}
		return r
	}, s)
}
