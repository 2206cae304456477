package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Headers of a request that is no CloudEvent, or that say more than one. They count before
// the attributes of the same meaning.
const (
	headerClass    = "Stoker-Class"
	headerDeadline = "Stoker-Deadline" // RFC 3339
	headerTimeout  = "Stoker-Timeout"  // a duration such as 30s
	classAttribute = "class"
	sourceHTTP     = "http" // of a bare request over HTTP
)

// parse reads a request: a CloudEvent in binary or structured mode, or a bare payload. The
// headers of both protocols have one shape, and CloudEvents one encoding for their values.
func parse(h events.Header, body []byte, source string, now time.Time) (call, *refusal) {
	e, err := events.Decode(h, body)
	if err != nil {
		return call{}, refusalOf(err)
	}
	c := call{event: e}
	bare := e.Bare()
	get := http.Header(h).Get
	if id := get(events.HeaderID); id != "" && bare {
		c.event.ID = id
	}
	if c.event.ID == "" {
		c.event.ID, c.fresh = uuid.NewString(), true
	}
	if bare && e.Source == "" {
		c.event.Source = source
	}
	if c.event.TraceParent == "" {
		c.event.TraceParent = get("Traceparent")
	}
	if bare && formNobodyMeant(e) {
		c.event.DataContentType = "application/json"
	}
	var refused *refusal
	if c.class, refused = classOf(get(headerClass), &c.event); refused != nil {
		return call{}, refused
	}
	return c, setDeadline(&c.event, get(headerDeadline), get(headerTimeout), now)
}

// classOf reads the class, which is an attribute of the way to the function and no longer
// one of the event afterwards.
func classOf(header string, e *events.Event) (functions.Class, *refusal) {
	text, attribute := header, e.Extensions[classAttribute]
	delete(e.Extensions, classAttribute)
	if text == "" {
		text = attribute
	}
	if text == "" {
		return functions.Interactive, nil
	}
	for _, c := range functions.Classes() {
		if string(c) == text {
			return c, nil
		}
	}
	return "", badRequest(headerClass, text, "interactive, standard, batch")
}

func setDeadline(e *events.Event, deadline, timeout string, now time.Time) *refusal {
	switch {
	case deadline != "":
		t, err := time.Parse(time.RFC3339Nano, deadline)
		if err != nil {
			return badRequest(headerDeadline, deadline, "RFC 3339, such as 2026-01-02T15:04:05Z")
		}
		e.Deadline = t.UTC()
	case timeout != "":
		d, err := time.ParseDuration(timeout)
		if err != nil || d <= 0 || d > functions.MaxDeadline {
			return badRequest(headerTimeout, timeout, fmt.Sprintf("a duration above 0 and up to %v, such as 30s", functions.MaxDeadline))
		}
		e.Deadline = now.Add(d).UTC()
	}
	if !e.Deadline.IsZero() && !now.Before(e.Deadline) {
		return refuse(http.StatusGatewayTimeout, events.CauseDeadline,
			"the deadline "+e.Deadline.Format(time.RFC3339Nano)+" has passed already", "give a later one; check the clocks").expired()
	}
	return nil
}

// formNobodyMeant finds the JSON that curl -d sends as a form.
func formNobodyMeant(e events.Event) bool {
	media, _, err := mime.ParseMediaType(e.DataContentType)
	return err == nil && media == "application/x-www-form-urlencoded" &&
		bytes.HasPrefix(bytes.TrimSpace(e.Data), []byte("{")) && json.Valid(e.Data)
}

// wantsStream tells whether the caller reads server-sent events, or asks the model for them
// as OpenAI's clients do.
func wantsStream(accept []string, e events.Event) bool {
	if e.Stream {
		return true
	}
	for _, list := range accept {
		for _, one := range strings.Split(list, ",") {
			if media, _, err := mime.ParseMediaType(one); err == nil && media == mediaStream {
				return true
			}
		}
	}
	var body struct{ Stream bool }
	return bytes.Contains(e.Data, []byte(`"stream"`)) && json.Unmarshal(e.Data, &body) == nil && body.Stream
}

// modelPath is the path on the model server that follows the function's name, with its query.
func modelPath(r *http.Request) (string, *refusal) {
	const before = 4 // "", functions, namespace, name
	parts := strings.SplitN(r.URL.EscapedPath(), "/", before+1)
	if len(parts) <= before || parts[before] == "" {
		return "", nil
	}
	path := "/" + parts[before]
	q := r.URL.Query()
	q.Del(queryAsync)
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	if !events.PathAllowed(path) {
		return "", badRequest("path", path, fmt.Sprintf("one such as /v1/completions of at most %d bytes, without \"..\"", events.MaxPath))
	}
	return path, nil
}
