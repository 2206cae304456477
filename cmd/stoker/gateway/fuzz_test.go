package gateway

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/events"
)

// FuzzHTTPEvent: whatever headers and body say, a request is refused with 400 or 504, or is one
// that can be published and reads back as the same event.
func FuzzHTTPEvent(f *testing.F) {
	f.Add("Content-Type: application/json", []byte(`{"a":1}`))
	f.Add("Ce-Id: 1\nCe-Source: s\nCe-Type: t\nCe-Specversion: 1.0\nCe-Color: gr%C3%BCn", []byte("x"))
	f.Add("Content-Type: application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","class":"batch","data":{"a":1}}`))
	f.Add("Content-Type: application/x-www-form-urlencoded\nStoker-Id: ü\nStoker-Timeout: 3s\nStoker-Class: batch", []byte(`{"a":1}`))
	f.Add("ce-deadline: 2030-01-01T00:00:00Z\nCE-DEADLINE: x\nStoker-Deadline: 2020-01-01T00:00:00Z", []byte{0xFF})
	f.Add("Ce-Replyto: _INBOX.x\nCe-Redrive: 7\nCe-Path: /v1/../x", []byte(nil))
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, headers string, body []byte) {
		h := events.Header{}
		for _, line := range strings.Split(headers, "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				h[http.CanonicalHeaderKey(name)] = append(h[http.CanonicalHeaderKey(name)], strings.TrimSpace(value))
			}
		}
		c, refused := parse(h, body, sourceHTTP, now)
		if refused != nil {
			if refused.Code != 400 && refused.Code != 504 || refused.Message == "" || len(refused.Message) > 2000 {
				t.Errorf("%+v", refused)
			}
			return
		}
		if c.event.ID == "" || c.class == "" || !c.event.Deadline.IsZero() && !c.event.Deadline.After(now) {
			t.Errorf("%s %+v", c.class, c.event)
		}
		wantsStream(h["Accept"], c.event)
		publishable(t, c.event)
	})
}

// publishable completes an event as publishing does, and reads it back.
func publishable(t *testing.T, e events.Event) {
	if e.Source == "" || e.Type == "" {
		e.Source, e.Type = events.SourceBare, events.TypeRequest
	}
	h, err := e.Encode()
	if err != nil {
		if refusalOf(err).Code != 400 { // such as an id that is no UTF-8
			t.Errorf("%+v: %v", e, err)
		}
		return
	}
	back, err := events.Decode(h, e.Data)
	if err != nil || back.ID != e.ID || back.Source != e.Source || !bytes.Equal(back.Data, e.Data) || !back.Deadline.Equal(e.Deadline) {
		t.Errorf("%+v read back as %+v, %v", e, back, err)
	}
}

// FuzzModelPath: a path is refused, or one that an agent may ask of its model server.
func FuzzModelPath(f *testing.F) {
	for _, s := range []string{"/functions/a/b", "/functions/a/b/", "/functions/a/b/v1/x?y=z&async=1", "/functions/a/b/%2e%2e/x", "/functions/a/b//x", "/functions/a/b/%00", "/functions/a%2Fb/c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.NewRequest(http.MethodPost, "http://localhost", nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := r.URL.Parse(target)
		if err != nil || !strings.HasPrefix(u.EscapedPath(), "/functions/") {
			return
		}
		r.URL = u
		path, refused := modelPath(r)
		if refused == nil && path != "" && !events.PathAllowed(path) || refused != nil && refused.Code != 400 {
			t.Errorf("%q: %q %+v", target, path, refused)
		}
		if strings.Contains(path, "async=") && strings.Contains(u.RawQuery, "async=") && r.URL.Query().Has(queryAsync) && strings.Contains(path, "?async=") {
			t.Errorf("%q: our own parameter went to the model: %q", target, path)
		}
	})
}

// FuzzFraming: framed data reads back as the same lines, and never as another event.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("a\nb"))
	f.Add([]byte("event: error\r\ndata: x\r\r\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.ContainsAny(data, "\x00") {
			return
		}
		out := make(chan sseEvent, len(data)+2)
		readEvents(bytes.NewReader(event("", data)), out)
		close(out)
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
		e := <-out
		if _, more := <-out; more || e.name != "" || e.data != want {
			t.Errorf("%q read back as %+v", data, e)
		}
	})
}

// FuzzHandler: no request makes the port panic or answer with a 500.
func FuzzHandler(f *testing.F) {
	w := newWorld(f)
	f.Add("POST", "/functions/default/none/x?y", "body")
	f.Add("GET", "/results/default/tinylm/%2F?wait=0s&source=%00", "")
	f.Add("GET", "/api/v1/events?since=1h", "")
	f.Add("POST", "/api/v1/functions?file=%0a", "kind: Function")
	f.Add("DELETE", "/api/v1/functions/a/b/c", "")
	handler := w.gateway.Handler()
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequest(method, "http://localhost", strings.NewReader(body))
		if err != nil {
			return
		}
		u, err := r.URL.Parse(target)
		if err != nil || u.Path == "/api/v1/events" && u.Query().Has("follow") || strings.Contains(u.RawQuery, "wait") ||
			strings.HasPrefix(u.Path, "/functions/"+fn.String()) {
			return // those wait for somebody else
		}
		u.Scheme, u.Host = "http", "localhost"
		r.URL, r.Host = u, "localhost"
		r.Header.Set("Authorization", "Bearer "+testToken)
		w.control.output = http.NoBody
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Errorf("%s %s: %d %s", method, target, rec.Code, rec.Body)
		}
	})
}
