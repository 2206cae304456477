package gateway

import (
	"net/http"
	"strconv"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// writeRefusal answers with an error.
func writeRefusal(w http.ResponseWriter, r *refusal) {
	h := w.Header()
	set(h, events.HeaderStatus, string(r.Status()))
	set(h, events.HeaderCause, events.OneLine(r.Cause))
	if r.RetryAfter > 0 {
		set(h, events.HeaderRetry, strconv.Itoa(r.RetryAfter))
	}
	set(h, "Content-Type", "application/json")
	set(h, "X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.Code)
	_, _ = w.Write(append(r.body(), '\n'))
}

// writeAbout names the request that an answer is about.
func writeAbout(w http.ResponseWriter, k functions.Key, id string) {
	set(w.Header(), events.HeaderID, id)
	set(w.Header(), events.HeaderFunction, k.String())
}

// writeRecord answers with a terminal record. What a model server said is shown to no
// browser as a page of this origin, where Temporal's UI is.
func writeRecord(w http.ResponseWriter, rec events.Record, code int) {
	writeRecordHeader(w.Header(), rec)
	if len(rec.Body) > 0 || rec.Status == events.StatusOK {
		w.WriteHeader(code)
		_, _ = w.Write(rec.Body)
		return
	}
	set(w.Header(), "Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(rec.ErrorBody())
}

func writeRecordHeader(h http.Header, rec events.Record) {
	set(h, events.HeaderID, rec.ID)
	set(h, events.HeaderFunction, rec.Function.String())
	set(h, events.HeaderStatus, string(rec.Status))
	set(h, events.HeaderCause, rec.Cause)
	set(h, events.HeaderMessage, rec.Message)
	set(h, events.HeaderSource, rec.Source)
	set(h, events.HeaderClass, string(rec.Class))
	set(h, events.HeaderRevision, rec.Revision)
	set(h, events.HeaderReplica, rec.Replica)
	setInt(h, events.HeaderAttempt, rec.Attempt)
	setInt(h, events.HeaderRedrive, rec.Redrive)
	setInt(h, events.HeaderRetry, rec.RetryAfter)
	setTime(h, events.HeaderPublished, rec.Published)
	setTime(h, events.HeaderStarted, rec.Started)
	setTime(h, events.HeaderEnded, rec.Ended)
	content := rec.ContentType
	if content == "" {
		content = "application/octet-stream"
	}
	set(h, "Content-Type", content)
	set(h, "X-Content-Type-Options", "nosniff")
	set(h, "Content-Security-Policy", "sandbox")
	set(h, "Cache-Control", "no-store")
}

// maxHeaderText bounds a text in a header, in bytes: clients refuse headers of some kilobytes.
const maxHeaderText = 1024

func set(h http.Header, name, value string) {
	if value == "" {
		return
	}
	if len(value) > maxHeaderText {
		value = value[:maxHeaderText]
	}
	h.Set(name, events.OneLine(value))
}

func setInt(h http.Header, name string, n int) {
	if n != 0 {
		h.Set(name, strconv.Itoa(n))
	}
}

func setTime(h http.Header, name string, t time.Time) {
	if !t.IsZero() {
		h.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}
