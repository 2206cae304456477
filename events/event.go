package events

import (
	"time"
)

// SpecVersion is the version of CloudEvents this package speaks.
const SpecVersion = "1.0"

// Defaults of a request that came as a bare payload, without CloudEvents attributes.
const (
	TypeRequest = "dev.stoker.request.v1"
	SourceBare  = "nats"
)

// Event is a request as its publisher wrote it: a CloudEvents 1.0 event whose extensions
// that stoker acts on are typed. ID, Source and Type are required; the rest may be zero.
type Event struct {
	ID              string
	Source          string
	Type            string
	Subject         string
	Time            time.Time // when it happened, as the publisher says
	DataContentType string    // media type of Data
	DataSchema      string
	Extensions      map[string]string // those stoker has no use for, passed on as they are
	Data            []byte

	ReplyTo     string    // where the answer goes; see [ReplyAllowed]
	Deadline    time.Time // no answer is wanted after it; zero: the function's own
	TraceParent string    // W3C trace context
	Redrive     int       // how often it was taken from the dead letters
	Stream      bool      // the answer is wanted chunk by chunk
	Path        string    // of the model server, such as /v1/chat/completions; empty: the function's own
	Sync        bool      // somebody waits for the answer, so the record keeps its status only by default
}

// Bare tells whether the event came without an id of its own.
func (e Event) Bare() bool { return e.ID == "" }

// complete fills in what a bare payload lacks.
func (e Event) complete(id string, stored time.Time) Event {
	if e.ID == "" {
		e.ID = id
	}
	if e.Source == "" {
		e.Source = SourceBare
	}
	if e.Type == "" {
		e.Type = TypeRequest
	}
	if e.Time.IsZero() {
		e.Time = stored
	}
	if e.DataContentType == "" {
		e.DataContentType = sniff(e.Data)
	}
	return e
}
