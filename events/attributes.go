package events

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Names of the extension attributes stoker acts on.
const (
	extReplyTo     = "replyto"
	extDeadline    = "deadline"
	extTraceParent = "traceparent"
	extRedrive     = "redrive"
	extStream      = "stream"
	extPath        = "path"
	extSync        = "sync"
)

// MaxRedrives bounds how often a dead letter is tried again: past it the request is not
// unlucky, and each redrive keeps a record of its own.
const MaxRedrives = 1000

// MaxPath bounds ce-path in bytes; servers refuse much longer request lines anyway.
const MaxPath = 1024

// set takes over one attribute by its CloudEvents name. Empty values count as absent, as
// the specification wants non-empty strings.
func (e *Event) set(name, value string) error {
	if !utf8.ValidString(value) {
		return malformed(name, value, "UTF-8 text", "percent-encode what is not printable ASCII")
	}
	if value == "" {
		return nil
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		if name == "id" {
			e.ID = value // its record can be asked for all the same
		}
		return malformed(name, value, "text without control characters (CloudEvents 1.0, type String)",
			"line breaks and the like belong in the data")
	}
	switch name {
	case "specversion":
		return checkVersion(value)
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "datacontenttype":
		e.DataContentType = value
	case "dataschema":
		e.DataSchema = value
	case "time":
		return setTime(&e.Time, name, value)
	default:
		return e.setExtension(name, value)
	}
	return nil
}

func (e *Event) setExtension(name, value string) (err error) {
	switch name {
	case extReplyTo:
		return e.setReplyTo(value)
	case extDeadline:
		return setTime(&e.Deadline, name, value)
	case extTraceParent:
		e.TraceParent = value
	case extRedrive:
		e.Redrive, err = parseRedrive(value)
	case extStream:
		e.Stream, err = parseBool(name, value)
	case extSync:
		e.Sync, err = parseBool(name, value)
	case extPath:
		return e.setPath(value)
	default:
		if !extensionName(name) {
			return malformed(name, value, "attribute names of a-z and 0-9", "rename the extension")
		}
		if e.Extensions == nil {
			e.Extensions = map[string]string{}
		}
		e.Extensions[name] = value
	}
	return err
}

func (e *Event) setReplyTo(value string) error {
	if !ReplyAllowed(value) {
		return malformed(extReplyTo, value, "_INBOX.> or _R.>",
			"let the client make an inbox, or read the record with: stoker result")
	}
	e.ReplyTo = value
	return nil
}

func (e *Event) setPath(value string) error {
	if !PathAllowed(value) {
		return malformed(extPath, value, fmt.Sprintf("a path such as /v1/completions of at most %d bytes, without \"..\"", MaxPath),
			"give the path alone, without host or scheme")
	}
	e.Path = value
	return nil
}

// PathAllowed tells whether a path may be asked of a model server: absolute, printable,
// and without a way out of the server's root or to another host.
func PathAllowed(p string) bool {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || len(p) > MaxPath {
		return false
	}
	if strings.IndexFunc(p, func(r rune) bool { return r <= 0x20 || r >= 0x7F || r == '\\' || r == '#' }) >= 0 {
		return false
	}
	path, _, _ := strings.Cut(p, "?")
	for _, segment := range strings.Split(strings.ReplaceAll(strings.ToLower(path), "%2e", "."), "/") {
		if segment == ".." {
			return false
		}
	}
	return true
}

// each calls f with every attribute that is set, in a fixed order, extensions last.
func (e Event) each(f func(name, value string)) {
	put := func(name, value string) {
		if value != "" {
			f(name, value)
		}
	}
	put("id", e.ID)
	put("source", e.Source)
	put("type", e.Type)
	put("subject", e.Subject)
	put("time", formatTime(e.Time))
	put("datacontenttype", e.DataContentType)
	put("dataschema", e.DataSchema)
	e.eachExtension(put)
}

func (e Event) eachExtension(put func(name, value string)) {
	put(extReplyTo, e.ReplyTo)
	put(extDeadline, formatTime(e.Deadline))
	put(extTraceParent, e.TraceParent)
	if e.Redrive > 0 {
		put(extRedrive, strconv.Itoa(e.Redrive))
	}
	if e.Stream {
		put(extStream, "true")
	}
	put(extPath, e.Path)
	if e.Sync {
		put(extSync, "true")
	}
	for name, value := range e.Extensions {
		put(name, value)
	}
}

// Check tells what keeps the event from being published, as a [*MalformedError].
func (e Event) Check() error { return e.checked(func(string, string) {}) }

// checked calls f with each attribute, and returns the first that could not be read back.
func (e Event) checked(f func(name, value string)) error {
	if err := e.checkRequired(); err != nil {
		return err
	}
	if e.Redrive < 0 || e.Redrive > MaxRedrives {
		return malformed(extRedrive, strconv.Itoa(e.Redrive), fmt.Sprintf("0 to %d", MaxRedrives), "publish it under a new id")
	}
	for name := range e.Extensions {
		if reserved(name) {
			return malformed(name, e.Extensions[name], "other names", "set the event's own field instead")
		}
	}
	var err error
	var again Event
	e.each(func(name, value string) {
		if e := again.set(name, value); err == nil && e != nil {
			err = e
		}
		f(name, value)
	})
	return err
}

func (e Event) checkRequired() error {
	for _, a := range []struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if a.value == "" {
			return &MalformedError{
				What:    "ce-" + a.name + " is missing",
				Allowed: "ce-specversion: 1.0 with ce-id, ce-source and ce-type, or none of the four",
				Hint:    "set it, or send the bare payload",
			}
		}
	}
	return nil
}

// reserved names are context attributes, or extensions that have a field of their own.
func reserved(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64",
		extReplyTo, extDeadline, extTraceParent, extRedrive, extStream, extPath, extSync:
		return true
	}
	return false
}

// maxExtensionName bounds an extension's name in bytes; the specification recommends 20.
const maxExtensionName = 64

func extensionName(name string) bool {
	return name != "" && len(name) <= maxExtensionName && name != "data" &&
		strings.IndexFunc(name, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9') }) < 0
}

func checkVersion(v string) error {
	if v != SpecVersion {
		return malformed("specversion", v, SpecVersion, "upgrade the publisher's CloudEvents library")
	}
	return nil
}

// setTime reads RFC 3339. Years outside 0000-9999 cannot be written back, so they are refused.
func setTime(to *time.Time, name, value string) error {
	t, err := time.Parse(time.RFC3339Nano, value)
	if u := t.UTC(); err != nil || u.Year() < 1 || u.Year() > 9999 || u.IsZero() {
		return malformed(name, value, "RFC 3339, such as 2026-01-02T15:04:05Z", "write the time zone too")
	}
	*to = t.UTC()
	return nil
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseBool(name, value string) (bool, error) {
	switch value {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, malformed(name, value, "true, false", "leave it out for false")
}

func parseRedrive(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil || n > MaxRedrives || n > math.MaxInt32 {
		return 0, malformed(extRedrive, value, fmt.Sprintf("0 to %d", MaxRedrives), "leave it out: stoker queue redrive counts it")
	}
	return int(n), nil
}
