package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

func TestStreams(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	gate := filepath.Join(w.dir, "gate-")
	e := ask("s", wish{Do: "stream", N: 5, Gate: gate})
	e.Stream = true
	call := w.call(functions.Interactive, e)
	chunks := 0
	for {
		c, err := call.Next(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		if c.Final != nil {
			if c.Final.Status != events.StatusOK {
				t.Errorf("closing %+v", c.Final)
			}
			break
		}
		if want := fmt.Sprintf("data: token %d\n\n", chunks); chunks < 5 && string(c.Data) != want {
			t.Errorf("chunk %q, want %q", c.Data, want)
		}
		chunks++
		if err := os.WriteFile(fmt.Sprint(gate, chunks), nil, 0o600); err != nil { // only now is the next one made
			t.Fatal(err)
		}
	}
	if chunks != 6 {
		t.Errorf("%d chunks, want 6", chunks)
	}
	if rec := w.record("s"); !strings.HasSuffix(string(rec.Body), "data: token 4\n\ndata: [DONE]\n\n") {
		t.Errorf("record holds %q", rec.Body)
	}
}

func TestStreamThatBreaksStartsAgainElsewhere(t *testing.T) {
	w := newWorld(t, nil)
	first := w.ready("r1", "")
	second := w.ready("r2", "")
	e := ask("s", wish{Do: "stream-crash", N: 6, File: filepath.Join(w.dir, "once")})
	e.Stream = true
	call := w.call(functions.Interactive, e)
	var chunks []string
	restarts := 0
	for {
		c, err := call.Next(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		if c.Restart {
			restarts++
			chunks = nil
		}
		if c.Final != nil {
			if c.Final.Status != events.StatusOK {
				t.Errorf("closing %+v", c.Final)
			}
			break
		}
		if len(c.Data) > 0 {
			chunks = append(chunks, string(c.Data))
		}
	}
	if restarts != 1 || len(chunks) != 7 || chunks[0] != "data: token 0\n\n" {
		t.Errorf("%d restarts, then %q", restarts, chunks)
	}
	if rec := w.record("s"); rec.Attempt != 2 {
		t.Errorf("record %+v", rec)
	}
	var code int
	select {
	case <-first.done:
		code = first.wait()
	case <-second.done:
		code = second.wait()
	}
	if code != exitCrashed {
		t.Errorf("exit code %d, want %d", code, exitCrashed)
	}
}

func TestProtocols(t *testing.T) {
	type seen struct {
		Path    string              `json:"path"`
		Headers map[string][]string `json:"headers"`
	}
	for _, c := range []struct {
		name    string
		runtime functions.Runtime
		event   events.Event
		path    string
		has     map[string]string
		hasNot  []string
	}{
		{"http", functions.Runtime{Path: "/predict"}, events.Event{TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "/predict",
			map[string]string{"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-Id": "p", "Content-Type": "application/json"}, []string{"Ce-Id"}},
		{"http with a path of its own", functions.Runtime{Path: "/predict"}, events.Event{Path: "/v2/other"}, "/v2/other", nil, nil},
		{"openai chat", functions.Runtime{Protocol: functions.ProtocolOpenAI}, events.Event{Data: []byte(`{"do":"headers","messages":[]}`)}, "/v1/chat/completions", nil, nil},
		{"openai completion", functions.Runtime{Protocol: functions.ProtocolOpenAI}, events.Event{Data: []byte(`{"do":"headers","prompt":"hi"}`)}, "/v1/completions", nil, nil},
		{"openai embeddings", functions.Runtime{Protocol: functions.ProtocolOpenAI}, events.Event{Data: []byte(`{"do":"headers","input":"hi"}`)}, "/v1/embeddings", nil, nil},
		{"cloudevents", functions.Runtime{Protocol: functions.ProtocolCloudEvents}, events.Event{Subject: "a b", Extensions: map[string]string{"tenant": "blue"}}, "/",
			map[string]string{"Ce-Id": "p", "Ce-Source": "test", "Ce-Specversion": "1.0", "Ce-Subject": "a%20b", "Ce-Tenant": "blue", "Content-Type": "application/json"},
			[]string{"Ce-Datacontenttype", "Ce-Replyto"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *functions.Spec) {
				c.runtime.Drain = s.Runtime.Drain
				s.Runtime = c.runtime
			})
			w.ready("r1", "")
			e := c.event
			e.ID, e.DataContentType = "p", "application/json"
			if e.Data == nil {
				e.Data = []byte(`{"do":"headers"}`)
			}
			got := w.collect(w.call(functions.Standard, e))
			var saw seen
			if err := json.Unmarshal(got.Body, &saw); err != nil {
				t.Fatalf("%v: %+v %q", err, got, got.Body)
			}
			if saw.Path != c.path {
				t.Errorf("path %q, want %q", saw.Path, c.path)
			}
			for name, want := range c.has {
				if got := saw.Headers[name]; len(got) != 1 || got[0] != want {
					t.Errorf("header %s is %q, want %q", name, got, want)
				}
			}
			for _, name := range c.hasNot {
				if got, ok := saw.Headers[name]; ok {
					t.Errorf("header %s is %q, want none", name, got)
				}
			}
		})
	}
}

func TestTooLargeAnswers(t *testing.T) {
	w := newWorld(t, nil)
	w.ready("r1", "")
	got := w.collect(w.call(functions.Standard, ask("big", wish{Do: "big", N: 1 << 20})))
	if got.Status != events.StatusError || got.Cause != "answer-too-large" || got.Attempt != 1 {
		t.Errorf("reply %+v", got)
	}
	fits := w.collect(w.call(functions.Standard, ask("fits", wish{Do: "big", N: 900 << 10})))
	if fits.Status != events.StatusOK || len(fits.Body) != 900<<10 {
		t.Errorf("reply %+v with %d bytes", fits, len(fits.Body))
	}
}

func TestGarbageIsAFailure(t *testing.T) {
	w := newWorld(t, func(s *functions.Spec) { s.Queue.Attempts = 2 })
	w.ready("r1", "garbage")
	w.publish(functions.Standard, ask("q", wish{}))
	if rec := w.record("q"); rec.Cause != events.CauseAttemptsSpent || rec.Attempt != 2 || !strings.Contains(rec.Message, "malformed HTTP") {
		t.Errorf("record %+v", rec)
	}
}

func TestOpenAIAnswersMustBeJSON(t *testing.T) {
	w := newWorld(t, func(s *functions.Spec) {
		s.Runtime.Protocol = functions.ProtocolOpenAI
		s.Queue.Attempts = 1
	})
	w.ready("r1", "")
	w.publish(functions.Standard, ask("q", wish{Do: "echo"}))
	if rec := w.record("q"); rec.Cause != events.CauseAttemptsSpent || !strings.Contains(rec.Message, "not JSON") {
		t.Errorf("record %+v", rec)
	}
}
