package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

const (
	attrPrefix      = "ce-"
	contentType     = "Content-Type"
	mediaCloudEvent = "application/cloudevents"
	mediaStructured = mediaCloudEvent + "+json"
)

// Encode writes the event's attributes as NATS headers in CloudEvents' binary mode; the
// message's payload is Data as it is. Header names are lower case. The error, if any, is a
// [*MalformedError].
func (e Event) Encode() (Header, error) {
	h := make(Header, 16+len(e.Extensions))
	values := make([]string, 0, 16+len(e.Extensions)) // one allocation for all of them
	put := func(name, value string) {
		values = append(values, percentEncode(value))
		h[attrPrefix+name] = values[len(values)-1 : len(values) : len(values)]
	}
	put("specversion", SpecVersion)
	if err := e.checked(put); err != nil {
		return nil, err
	}
	return h, nil
}

// MaxAttributes bounds the attributes of an event, names and values together, in bytes. They are
// copied into the headers of its record, its dead letter and the model server's request, and all
// of these must have room for them whatever the payload's limit is. CloudEvents asks intermediaries
// for 64 KiB in all.
const MaxAttributes = 64 << 10

// tooManyAttributes comes with an event without any, which is known by where it is stored.
func tooManyAttributes(size int) error {
	return &MalformedError{
		What: fmt.Sprintf("the attributes have %d bytes", size), Allowed: fmt.Sprintf("%d", MaxAttributes), Hint: "put what is large into the payload",
	}
}

// Decode reads an event from a message: structured mode where the Content-Type says so,
// binary mode where one of the required attributes is there, and otherwise a bare payload,
// which has no id yet (see [NewRequest]). Header names are read in any case. A
// [*MalformedError] comes with as much of the event as could be read.
func Decode(h Header, data []byte) (Event, error) {
	return withoutReserved(decode(h, data))
}

// decode takes the platform's own ids, too: its dead letters have them.
func decode(h Header, data []byte) (Event, error) {
	var e Event
	var err error
	var content string
	var found required
	size := 0
	for key, values := range h {
		name := strings.ToLower(key)
		if _, twice := h[name]; len(values) == 0 || twice && name != key {
			continue // of two spellings, the one the specification has counts
		}
		if name == "content-type" {
			content = values[0]
			continue
		}
		attr, ok := strings.CutPrefix(name, attrPrefix)
		if !ok {
			continue
		}
		found.note(attr)
		size += len(attr) + len(values[0])
		if e := e.set(attr, percentDecode(values[0])); err == nil {
			err = e
		}
	}
	if size > MaxAttributes {
		return Event{Data: data}, tooManyAttributes(size)
	}
	if structured(content) {
		return decodeStructured(content, data)
	}
	if found == 0 && content == "" && looksStructured(data) {
		return decodeStructured(mediaStructured, data)
	}
	e.Data = data
	if err == nil && found != 0 {
		err = found.check(e)
	}
	if e.DataContentType == "" && utf8.ValidString(content) && !strings.ContainsFunc(content, unicode.IsControl) {
		e.DataContentType = content
	}
	return e, err
}

// required notes which of the attributes that make a message a CloudEvent were there.
type required uint8

const hasVersion required = 1 << 0

func (r *required) note(attr string) {
	switch attr {
	case "specversion":
		*r |= hasVersion
	case "id", "source", "type":
		*r |= 1 << 1
	}
}

func (r required) check(e Event) error {
	if r&hasVersion == 0 {
		return &MalformedError{What: "ce-specversion is missing", Allowed: SpecVersion, Hint: "set it, or send the bare payload without ce-id, ce-source and ce-type"}
	}
	return e.checkRequired()
}

func structured(content string) bool {
	return len(content) >= len(mediaCloudEvent) && strings.EqualFold(content[:len(mediaCloudEvent)], mediaCloudEvent)
}

// looksStructured finds events of publishers that follow the NATS binding of CloudEvents
// 1.0.2, which knows no headers: the payload alone is the event. The Go SDK does so.
func looksStructured(data []byte) bool {
	if !bytes.Contains(data, []byte(`"specversion"`)) {
		return false
	}
	var probe struct {
		SpecVersion, ID, Source, Type *string
	}
	return json.Unmarshal(data, &probe) == nil &&
		probe.SpecVersion != nil && probe.ID != nil && probe.Source != nil && probe.Type != nil
}

func decodeStructured(content string, data []byte) (Event, error) {
	media, _, err := mime.ParseMediaType(content)
	if err != nil || media != mediaStructured {
		return Event{}, malformed("Content-Type", content, mediaStructured, "send one event as JSON, or use binary mode")
	}
	var ce cloudevent.Event
	if err := json.Unmarshal(data, &ce); err != nil {
		return Event{}, &MalformedError{What: "structured event: " + err.Error(), Allowed: "CloudEvents 1.0 JSON", Hint: "see the CloudEvents JSON event format"}
	}
	return fromCloudEvent(ce)
}

// FromCloudEvent reads an event of the CloudEvents SDK, as the HTTP binding makes them.
// A [*MalformedError] comes with as much of the event as could be read.
func FromCloudEvent(ce cloudevent.Event) (Event, error) {
	return withoutReserved(fromCloudEvent(ce))
}

func fromCloudEvent(ce cloudevent.Event) (Event, error) {
	var e Event
	var err error
	size := 0
	set := func(name, value string) {
		size += len(name) + len(value)
		if e := e.set(name, value); err == nil {
			err = e
		}
	}
	set("specversion", ce.SpecVersion())
	set("id", ce.ID())
	set("source", ce.Source())
	set("type", ce.Type())
	set("subject", ce.Subject())
	set("datacontenttype", ce.DataContentType())
	set("dataschema", ce.DataSchema())
	if !ce.Time().IsZero() {
		set("time", formatTime(ce.Time()))
	}
	for name, value := range ce.Extensions() {
		text, ferr := types.Format(value)
		if ferr != nil && err == nil {
			err = malformed(name, "", "string, boolean, integer, URI, timestamp or bytes", "see the CloudEvents type system")
		}
		set(strings.ToLower(name), text)
	}
	if size > MaxAttributes {
		return Event{Data: ce.Data()}, tooManyAttributes(size)
	}
	e.Data = ce.Data()
	if err == nil {
		err = e.checkRequired()
	}
	return e, err
}

// CloudEvent converts to an event of the CloudEvents SDK.
func (e Event) CloudEvent() (cloudevent.Event, error) {
	ce := cloudevent.New(SpecVersion)
	if err := e.Check(); err != nil {
		return ce, err
	}
	ce.SetID(e.ID)
	ce.SetSource(e.Source)
	ce.SetType(e.Type)
	if e.Subject != "" {
		ce.SetSubject(e.Subject)
	}
	if !e.Time.IsZero() {
		ce.SetTime(e.Time)
	}
	if e.DataSchema != "" {
		ce.SetDataSchema(e.DataSchema)
	}
	e.eachExtension(func(name, value string) {
		if value != "" {
			ce.SetExtension(name, value)
		}
	})
	if err := ce.Validate(); err != nil {
		return ce, &MalformedError{What: err.Error(), Allowed: "CloudEvents " + SpecVersion, Hint: "correct the attribute"}
	}
	setData(&ce, e)
	return ce, nil
}

func setData(ce *cloudevent.Event, e Event) {
	if e.DataContentType != "" {
		ce.SetDataContentType(e.DataContentType)
	}
	if e.Data == nil {
		return
	}
	ce.DataEncoded = e.Data
	ce.DataBase64 = !isJSON(e.DataContentType) || !json.Valid(e.Data)
}

func isJSON(content string) bool {
	media, _, err := mime.ParseMediaType(content)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// sniff names the media type of a payload that came without one.
func sniff(data []byte) string {
	switch {
	case json.Valid(data):
		return "application/json"
	case utf8.Valid(data):
		return "text/plain"
	default:
		return "application/octet-stream"
	}
}
