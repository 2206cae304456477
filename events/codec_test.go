package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"pgregory.net/rapid"

	"stoker.dev/stoker/functions"
)

var update = flag.Bool("update", false, "rewrite testdata")

// full is an event with every attribute set.
func full() Event {
	return Event{
		ID: "order-7", Source: "/shop/euro €", Type: "com.example.order.v1", Subject: "a \"quoted\" 100%",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC), DataContentType: "application/json",
		DataSchema: "https://example.com/order.json", Extensions: map[string]string{"tenant": "blue", "dataref": "s3://b/k"},
		Data: []byte(`{"prompt":"hi"}`), ReplyTo: "_INBOX.abc.1", Deadline: time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Redrive: 2, Stream: true,
		Path: "/v1/chat/completions", Sync: true,
	}
}

func TestEventsOnTheWire(t *testing.T) {
	minimal := Event{ID: "1", Source: "s", Type: "t"}
	binary := Event{ID: "1", Source: "s", Type: "t", DataContentType: "application/octet-stream", Data: []byte{0, 1, 254, 255}}
	for name, e := range map[string]Event{"full": full(), "minimal": minimal, "binary": binary} {
		t.Run(name, func(t *testing.T) {
			h, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".golden"), wireText(h, e.Data))
			back, err := Decode(h, e.Data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, e) {
				t.Errorf("came back as\n%+v\nwas\n%+v", back, e)
			}
		})
	}
}

// wireText prints a message as it travels, with sorted headers.
func wireText(h Header, data []byte) string {
	var lines []string
	for name, values := range h {
		for _, v := range values {
			lines = append(lines, name+": "+v+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "") + fmt.Sprintf("\n%q\n", data)
}

func golden(t *testing.T, path, have string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if have != string(want) {
		t.Errorf("%s differs (go test -update rewrites it); have\n%s\nwant\n%s", path, have, want)
	}
}

// TestMalformedEventsSayWhatIsAllowed covers each way an event can be wrong.
func TestMalformedEventsSayWhatIsAllowed(t *testing.T) {
	ok := func(extra ...string) Header {
		h := Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"s"}, "ce-type": {"t"}}
		for i := 0; i < len(extra); i += 2 {
			h[extra[i]] = []string{extra[i+1]}
		}
		return h
	}
	without := func(name string) Header { h := ok(); delete(h, name); return h }
	cases := map[string]struct {
		h    Header
		data string
		want string
	}{
		"no id":            {h: without("ce-id"), want: "ce-id is missing"},
		"empty id":         {h: ok("ce-id", ""), want: "ce-id is missing"},
		"no source":        {h: without("ce-source"), want: "ce-source is missing"},
		"no type":          {h: without("ce-type"), want: "ce-type is missing"},
		"no version":       {h: without("ce-specversion"), want: "ce-specversion is missing"},
		"old version":      {h: ok("ce-specversion", "0.3"), want: `specversion is "0.3"`},
		"time":             {h: ok("ce-time", "yesterday"), want: `time is "yesterday"`},
		"deadline":         {h: ok("ce-deadline", "5s"), want: `deadline is "5s"`},
		"deadline no zone": {h: ok("ce-deadline", "2026-01-02T15:04:05"), want: "RFC 3339"},
		"reply to request": {h: ok("ce-replyto", "stoker.fn.default.x.batch"), want: "_INBOX.> or _R.>"},
		"reply to api":     {h: ok("ce-replyto", "$JS.API.STREAM.DELETE.X"), want: "_INBOX.> or _R.>"},
		"redrive":          {h: ok("ce-redrive", "-1"), want: "0 to 1000"},
		"redrive huge":     {h: ok("ce-redrive", "99999999999999999999"), want: "0 to 1000"},
		"stream":           {h: ok("ce-stream", "yes"), want: "true, false"},
		"sync":             {h: ok("ce-sync", "1"), want: "true, false"},
		"path relative":    {h: ok("ce-path", "v1"), want: "a path such as"},
		"path host":        {h: ok("ce-path", "//evil/x"), want: "a path such as"},
		"path up":          {h: ok("ce-path", "/a/%2E./b"), want: "a path such as"},
		"path newline":     {h: ok("ce-path", "/a%0D%0AHost:%20x"), want: "without control characters"},
		"id newline":       {h: ok("ce-id", "a%0Ab"), want: "without control characters"},
		"type of data":     {h: ok("ce-datacontenttype", "text/plain%00"), want: "without control characters"},
		"traceparent":      {h: ok("ce-traceparent", "%C2%85"), want: "without control characters"},
		"extension name":   {h: ok("ce-my_ext", "x"), want: "a-z and 0-9"},
		"not UTF-8":        {h: ok("ce-subject", "%FF"), want: "UTF-8"},
		"batch":            {h: Header{"Content-Type": {"application/cloudevents-batch+json"}}, data: "[]", want: "application/cloudevents+json"},
		"avro":             {h: Header{"content-type": {"application/cloudevents+avro"}}, want: "application/cloudevents+json"},
		"not JSON":         {h: Header{"content-type": {"application/cloudevents+json"}}, data: "{", want: "CloudEvents 1.0 JSON"},
		"structured no id": {h: Header{"content-type": {"application/cloudevents+json"}}, data: `{"specversion":"1.0","source":"s","type":"t"}`, want: "id"},
		"structured reply": {h: Header{"content-type": {"application/cloudevents+json"}}, data: `{"specversion":"1.0","id":"1","source":"s","type":"t","replyto":"a"}`, want: "_INBOX.> or _R.>"},
		"structured 0.3":   {h: Header{"content-type": {"application/cloudevents+json"}}, data: `{"specversion":"0.3","id":"1","source":"s","type":"t"}`, want: `specversion is "0.3"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e, err := Decode(c.h, []byte(c.data))
			var m *MalformedError
			if !errors.As(err, &m) || !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %+v, %v, want a MalformedError", e, err)
			}
			if m.Allowed == "" || m.Hint == "" {
				t.Errorf("%v lacks what is allowed or a hint", m)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not say %q", err, c.want)
			}
		})
	}
}

func TestHeaderNamesAreReadInAnyCase(t *testing.T) {
	e, err := Decode(Header{"Ce-Id": {"1"}, "CE-SOURCE": {"s"}, "ce-Type": {"t"}, "cE-specVersion": {"1.0"}, "CE-Tenant": {"blue"}}, nil)
	if err != nil || e.ID != "1" || e.Source != "s" || e.Type != "t" || e.Extensions["tenant"] != "blue" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestBarePayloadsAreCompleted(t *testing.T) {
	stored := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for data, media := range map[string]string{
		`{"prompt":"hi"}`: "application/json", `7`: "application/json",
		`hello`: "text/plain", "\xff\x00": "application/octet-stream", "": "text/plain",
		// Talks about CloudEvents, but is none.
		`{"specversion":"1.0"}`: "application/json",
	} {
		r, err := NewRequest("stoker.fn.default.tinylm.standard", nil, []byte(data), "STOKER_FN_03", 17, stored)
		if err != nil {
			t.Fatal(err)
		}
		want := Event{ID: "STOKER_FN_03-17", Source: "nats", Type: "dev.stoker.request.v1", Time: stored, DataContentType: media, Data: []byte(data)}
		if !reflect.DeepEqual(r.Event, want) {
			t.Errorf("%q became %+v", data, r.Event)
		}
	}
}

func TestBarePayloadMayCarryOptions(t *testing.T) {
	h := Header{"ce-stream": {"true"}, "ce-deadline": {"2030-01-01T00:00:00Z"}, "Content-Type": {"text/csv"}}
	e, err := Decode(h, []byte("a,b"))
	if err != nil || !e.Bare() || !e.Stream || e.Deadline.Year() != 2030 || e.DataContentType != "text/csv" {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestMalformedRequestsKeepTheirPlace is what lets them end in a record.
func TestMalformedRequestsKeepTheirPlace(t *testing.T) {
	h := Header{"ce-specversion": {"1.0"}, "ce-id": {"7"}, "ce-source": {"s"}, "ce-type": {"t"}, "ce-deadline": {"soon"}, "ce-replyto": {"_INBOX.a"}}
	r, err := NewRequest("stoker.fn.default.tinylm.batch", h, nil, "STOKER_FN_00", 9, time.Now())
	if !errors.Is(err, ErrMalformed) || r.Event.ID != "7" || r.Event.Source != "s" || r.Event.ReplyTo != "_INBOX.a" || r.Seq != 9 || r.Class != "batch" {
		t.Errorf("%+v, %v", r, err)
	}
	rec := r.Record(StatusError, CauseBadRequest, err.Error())
	if rec.ID != "7" || rec.Code() != 400 || !strings.Contains(string(rec.payload()), "RFC 3339") {
		t.Errorf("record %+v says %s", rec, rec.payload())
	}
}

// TestSDKEventsAreRead reads what the CloudEvents Go SDK writes, in both modes.
func TestSDKEventsAreRead(t *testing.T) {
	ce := cloudevent.New()
	ce.SetID("sdk-1")
	ce.SetSource("/sdk")
	ce.SetType("com.example.t")
	ce.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	ce.SetExtension("deadline", "2026-01-02T04:00:00Z")
	ce.SetExtension("stream", "true")
	ce.SetExtension("num", 7)
	if err := ce.SetData("application/json", map[string]string{"prompt": "hi"}); err != nil {
		t.Fatal(err)
	}
	want := Event{
		ID: "sdk-1", Source: "/sdk", Type: "com.example.t", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Deadline: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC), Stream: true, DataContentType: "application/json",
		Extensions: map[string]string{"num": "7"}, Data: []byte(`{"prompt":"hi"}`),
	}
	structured, err := json.Marshal(ce)
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]Header{
		"structured": {"Content-Type": {"application/cloudevents+json; charset=utf-8"}},
		"bare":       nil, // how the SDK's own NATS protocol sends it
	} {
		if got, err := Decode(h, structured); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := FromCloudEvent(ce); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("FromCloudEvent: %+v, %v", got, err)
	}
	req, err := cehttp.NewHTTPRequestFromEvent(t.Context(), "http://x/", ce)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(Header(req.Header), []byte(`{"prompt":"hi"}`)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("binary: %+v, %v", got, err)
	}
}

// TestSDKReadsOurEvents reads our binary mode with the SDK's HTTP binding, whose header
// rules NATS's binding takes over, and our conversion in the structured mode.
func TestSDKReadsOurEvents(t *testing.T) {
	e := full()
	e.Source, e.Subject = "/shop", "plain" // the SDK does not percent-decode
	h, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", bytes.NewReader(e.Data))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range h {
		req.Header.Set(name, values[0])
	}
	req.Header.Del("ce-datacontenttype")
	req.Header.Set("Content-Type", e.DataContentType)
	ce, err := cehttp.NewEventFromHTTPRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := FromCloudEvent(*ce); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("binary: %+v, %v", got, err)
	}
	for name, e := range map[string]Event{"json": e, "bytes": {ID: "1", Source: "s", Type: "t", DataContentType: "image/png", Data: []byte{0xff, 0}}} {
		ce, err := e.CloudEvent()
		if err != nil {
			t.Fatal(name, err)
		}
		data, err := json.Marshal(ce)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := Decode(Header{"content-type": {"application/cloudevents+json"}}, data)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: %+v, %v, sent %s", name, got, err, data)
		}
	}
}

func TestPercentEncodingIsUndone(t *testing.T) {
	for plain, want := range map[string]string{
		"": "", "abc": "abc", "a b": "a%20b", `"`: "%22", "100%": "100%25", "€": "%E2%82%AC", "\r\n": "%0D%0A", "a~!{}": "a~!{}",
	} {
		if got := percentEncode(plain); got != want {
			t.Errorf("percentEncode(%q) = %q, want %q", plain, got, want)
		}
	}
	for wire, want := range map[string]string{"%e2%82%ac": "€", "100%": "100%", "%zz": "%zz", "%4": "%4", `"a \"b\" %20c"`: `a "b"  c`, `"`: `"`} {
		if got := percentDecode(wire); got != want {
			t.Errorf("percentDecode(%q) = %q, want %q", wire, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		if got := percentDecode(percentEncode(s)); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

// FuzzDecode reads any message: what is accepted with an id can be written and read again.
func FuzzDecode(f *testing.F) {
	f.Add("ce-id: 1\nce-source: s\nce-type: t\nce-specversion: 1.0\nce-deadline: 2026-01-02T15:04:05Z", []byte(`{}`))
	f.Add("content-type: application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":1},"x":1,"time":"2026-01-02T15:04:05Z"}`))
	f.Add("", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AAE="}`))
	f.Add("ce-id: \"quoted %41\"\nCe-Path: /v1", []byte("text"))
	f.Fuzz(func(t *testing.T, head string, data []byte) {
		h := Header{}
		for _, line := range strings.Split(head, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				h[name] = append(h[name], value)
			}
		}
		e, err := Decode(h, data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is no MalformedError", err)
			}
			return
		}
		if e.Bare() {
			return
		}
		again, err := e.Encode()
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", e, err)
		}
		back, err := Decode(again, e.Data)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%+v came back as %+v, %v", e, back, err)
		}
	})
}

// FuzzEncode writes any event: what is accepted comes back the same, on headers that NATS
// can carry.
func FuzzEncode(f *testing.F) {
	f.Add("1", "s", "t", "sub", "/v1", "ext", "value", []byte("{}"))
	f.Add("a\r\nb", "€", "\"", "%", "/a b", "UPPER", "", []byte(nil))
	f.Fuzz(func(t *testing.T, id, source, typ, subject, path, ext, value string, data []byte) {
		e := Event{ID: id, Source: source, Type: typ, Subject: subject, Path: path, Data: data}
		if ext != "" && value != "" {
			e.Extensions = map[string]string{ext: value}
		}
		h, err := e.Encode()
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is no MalformedError", err)
			}
			return
		}
		for name, values := range h {
			if strings.ContainsAny(name+values[0], " \r\n\"") {
				t.Fatalf("header %q: %q breaks the line", name, values[0])
			}
		}
		back, err := Decode(h, data)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%+v came back as %+v, %v", e, back, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := full()
	e.Data = bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e := full()
	e.Data = bytes.Repeat([]byte("x"), 1024)
	h, err := e.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(h, e.Data); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAttributesAreBounded: an event whose attributes fit into no record is known by where it is
// stored, and ends in a record all the same.
func TestAttributesAreBounded(t *testing.T) {
	base := func(name, value string) Header {
		return Header{"ce-specversion": {"1.0"}, "ce-id": {"i"}, "ce-source": {"s"}, "ce-type": {"t"}, name: {value}}
	}
	half := strings.Repeat("x", MaxAttributes/2)
	big := half + half
	for what, h := range map[string]Header{
		"an id": base("ce-id", big), "a source": base("ce-source", big), "an extension": base("ce-more", big), "a name": base("ce-"+big, "v"),
		"two halves": {"ce-specversion": {"1.0"}, "ce-id": {"i"}, "ce-source": {"s"}, "ce-type": {half}, "ce-more": {half}},
		"encoded":    base("ce-more", strings.Repeat("%41", MaxAttributes/2)),
	} {
		r, err := NewRequest(RequestSubject(tiny, functions.Batch), h, []byte("data"), ShardStream(3), 7, time.Now())
		if !errors.Is(err, ErrMalformed) || r.Event.ID != BareID(ShardStream(3), 7) || len(r.Event.Source) > 100 || len(r.Event.Extensions) > 0 {
			t.Errorf("%s: %v, id of %d bytes", what, err, len(r.Event.ID))
		}
	}
	if _, err := NewRequest(RequestSubject(tiny, functions.Batch), base("ce-more", half), nil, ShardStream(3), 7, time.Now()); err != nil {
		t.Errorf("half of it: %v", err)
	}
	body := `{"specversion":"1.0","id":"` + big + `","source":"s","type":"t"}`
	if e, err := Decode(Header{"content-type": {mediaStructured}}, []byte(body)); !errors.Is(err, ErrMalformed) || e.ID != "" {
		t.Errorf("structured: %v", err)
	}
}
