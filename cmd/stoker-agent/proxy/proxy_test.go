package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

func TestVerdicts(t *testing.T) {
	for status, want := range map[int]struct {
		verdict Verdict
		cause   string
	}{
		200: {Answered, ""}, 204: {Answered, ""}, 301: {Refused, events.CauseBackend},
		400: {Refused, events.CauseBadRequest}, 401: {Refused, events.CauseBackend}, 404: {Refused, events.CauseBadRequest},
		408: {Failed, events.CauseBackend}, 425: {Failed, events.CauseBackend}, 429: {Failed, events.CauseBackend},
		499: {Refused, events.CauseBadRequest}, 500: {Failed, events.CauseBackend}, 503: {Failed, events.CauseBackend}, 599: {Failed, events.CauseBackend},
	} {
		if got := verdictOf(status); got != want.verdict {
			t.Errorf("%d: verdict %v, want %v", status, got, want.verdict)
		}
		if got := causeOf(status); want.verdict != Answered && got != want.cause {
			t.Errorf("%d: cause %s, want %s", status, got, want.cause)
		}
	}
}

// TestPathsStayOnTheModelServer: whatever path an event names, the host is not its choice.
func TestPathsStayOnTheModelServer(t *testing.T) {
	p := New(8123, functions.Runtime{}, 1)
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.OneOf(rapid.String(), rapid.StringMatching(`[/@:.a-z%?#\\]{1,12}`)).Draw(t, "path")
		req, err := p.request(t.Context(), events.Event{Path: path, ID: "x"})
		if err == nil && (req.URL.Host != "127.0.0.1:8123" || req.URL.Scheme != "http" || req.URL.User != nil) {
			t.Fatalf("path %q leads to %s", path, req.URL)
		}
	})
	for _, bad := range []string{"@evil.example/", "//evil.example/x", "http://evil.example/", "x"} {
		if req, err := p.request(t.Context(), events.Event{Path: bad}); err == nil {
			t.Errorf("path %q leads to %s", bad, req.URL)
		}
	}
}

// TestEventsAreForwardedAsTheyWereSent cuts a stream anywhere: what comes out is what went
// in, event by event.
func TestEventsAreForwardedAsTheyWereSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
		line := rapid.Map(rapid.StringMatching(`[ -~]{1,40}`), func(s string) string { return "data: " + s })
		var want []string
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			lines := rapid.SliceOfN(line, 1, 3).Draw(t, "lines")
			want = append(want, strings.Join(lines, end)+end+end)
		}
		var in io.Reader = strings.NewReader(strings.Join(want, ""))
		if rapid.Bool().Draw(t, "byte by byte") {
			in = iotest.OneByteReader(in)
		}
		var got []string
		_, err := eachEvent(in, 1<<20, func(e []byte) error {
			got = append(got, string(e))
			return nil
		})
		if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("got %q, want %q, error %v", got, want, err)
		}
	})
}

func TestStreamsThatEndOddly(t *testing.T) {
	for _, c := range []struct {
		name, in string
		events   int
		done     bool
		err      error
	}{
		{"nothing", "", 0, false, nil},
		{"no blank line at the end", "data: a\n\ndata: b", 2, false, nil},
		{"keep-alive blanks", "\n\n\ndata: a\n\n\n\n", 1, false, nil},
		{"done", "data: a\n\ndata: [DONE]\n\n", 2, true, nil},
		{"a line longer than the reader's buffer", "data: " + strings.Repeat("x", 9000) + "\n\ndata: b\n\n", 2, false, nil},
		{"an event above the limit", "data: " + strings.Repeat("x", 20_000) + "\n\n", 0, false, errTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			done, err := eachEvent(strings.NewReader(c.in), 10_000, func([]byte) error { n++; return nil })
			if n != c.events || done != c.done || !errors.Is(err, c.err) {
				t.Errorf("%d events, done %v, error %v", n, done, err)
			}
		})
	}
}

func TestBrokenStreamsAreFailures(t *testing.T) {
	_, err := eachEvent(io.MultiReader(strings.NewReader("data: a\n\nda"), iotest.ErrReader(io.ErrUnexpectedEOF)), 1000, func([]byte) error { return nil })
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
	p := New(1, functions.Runtime{Protocol: functions.ProtocolOpenAI}, 1)
	for _, c := range []struct {
		body   string
		length int64
		want   Verdict
	}{
		{"data: a\n\n", -1, Failed}, // a server that died looks like this
		{"data: a\n\ndata: [DONE]\n\n", -1, Answered},
		{"data: a\n\n", 9, Answered},
	} {
		resp := &http.Response{StatusCode: http.StatusOK, ContentLength: c.length, Body: io.NopCloser(bytes.NewBufferString(c.body)),
			Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}}
		if got := p.stream(resp, Call{Limit: 1000, Chunk: func([]byte) error { return nil }}); got.Verdict != c.want {
			t.Errorf("%q with length %d: %+v", c.body, c.length, got)
		}
	}
}
