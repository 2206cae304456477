package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

var key = functions.Key{Namespace: "default", Name: "tinylm"}

// platform answers every request with do; the requests it saw come on the channel.
func platform(t *testing.T, do http.HandlerFunc) (*Client, <-chan *http.Request) {
	t.Helper()
	seen := make(chan *http.Request, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Clone(context.WithoutCancel(r.Context()))
		do(w, r)
	}))
	t.Cleanup(s.Close)
	return NewClient(s.URL+"/", "secret", s.Client()), seen
}

func TestInvokeSaysWhatIsWanted(t *testing.T) {
	c, seen := platform(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Stoker-Id", "x")
		w.Header().Set("Stoker-Attempt", "2")
		_, _ = io.Copy(w, r.Body)
	})
	got, err := c.Invoke(t.Context(), Call{
		Key: key, Path: "/v1/completions?a=b", Body: []byte("body"), ContentType: "text/csv", Class: functions.Batch, Timeout: time.Minute, ID: "x", Async: true,
	}, nil)
	if err != nil || got.ID != "x" || got.Attempt != 2 || string(got.Body) != "body" {
		t.Errorf("%+v, %v", got, err)
	}
	r := <-seen
	if r.URL.RequestURI() != "/functions/default/tinylm/v1/completions?a=b&async=1" {
		t.Errorf("asked for %s", r.URL.RequestURI())
	}
	for name, want := range map[string]string{
		"Content-Type": "text/csv", "Stoker-Class": "batch", "Stoker-Timeout": "1m0s", "Stoker-Id": "x", "Authorization": "Bearer secret", "Accept": "",
	} {
		if r.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
		}
	}
}

// TestStreamIsHandedOnLineByLine while it is being made.
func TestStreamIsHandedOnLineByLine(t *testing.T) {
	goOn := make(chan struct{})
	c, _ := platform(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, line := range []string{"data: one\n\n", "data: two"} {
			_, _ = io.WriteString(w, line)
			_ = http.NewResponseController(w).Flush()
			<-goOn
		}
	})
	var got []string
	_, err := c.Invoke(t.Context(), Call{Key: key, Stream: true}, func(line []byte) error {
		got = append(got, string(line))
		if len(got) == 2 {
			goOn <- struct{}{} // the second event is made only after the first one arrived whole
			close(goOn)
		}
		return nil
	})
	if want := []string{"data: one\n", "\n", "data: two"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	stop := errors.New("seen enough")
	c, _ = platform(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "data: one\n") })
	if _, err := c.Invoke(t.Context(), Call{Key: key, Stream: true}, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// TestErrorsKeepWhatWasSaid: the platform's shape, a model server's, and anything else.
func TestErrorsKeepWhatWasSaid(t *testing.T) {
	for body, want := range map[string]Error{
		`{"error":{"code":429,"cause":"queue-full","message":"full","hint":"later","retryAfterSeconds":3}}`: {Code: 429, Cause: "queue-full", Message: "full", Hint: "later"},
		`{"error":{"message":"no such model"}}`: {Code: 418, Message: "no such model"},
		`{"error":"text"}`:                      {Code: 418, Message: `418 I'm a teapot: {"error":"text"}`},
		`nonsense`:                              {Code: 418, Message: "418 I'm a teapot: nonsense"},
		``:                                      {Code: 418, Message: "418 I'm a teapot:"},
	} {
		c, _ := platform(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, body)
		})
		_, err := c.Get(t.Context(), key)
		var got *Error
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%s: %+v", body, err)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = NewClient(address, "", nil).List(t.Context(), "")
	var got *Error
	if !errors.As(err, &got) || got.Cause != "not-running" || got.Hint == "" {
		t.Errorf("%v", err)
	}
}

func TestAnswerThatIsNoJSON(t *testing.T) {
	c, _ := platform(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	if _, err := c.List(t.Context(), ""); err == nil {
		t.Error("taken for a list of functions")
	}
}

func TestResultAsksForTheIDAsItIs(t *testing.T) {
	c, seen := platform(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Stoker-Status", "ok")
		_, _ = io.WriteString(w, "answer")
	})
	h, body, err := c.Result(t.Context(), key, "a/b c?d", 3*time.Second)
	if err != nil || string(body) != "answer" || h.Get("Stoker-Status") != "ok" {
		t.Errorf("%v %q %v", h, body, err)
	}
	if got := (<-seen).URL.RequestURI(); got != "/results/default/tinylm/a%2Fb%20c%3Fd?wait=3s" {
		t.Errorf("asked for %s", got)
	}
}

// TestEventsEndWhenNobodyReads: the connection goes with the loop.
func TestEventsEndWhenNobodyReads(t *testing.T) {
	ended := make(chan struct{})
	c, seen := platform(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, `{"seq":1,"what":"ready"}`+"\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
	n := 0
	for e, err := range c.Events(t.Context(), EventFilter{Namespace: "default", Since: time.Hour, Follow: true}) {
		if err != nil || e.What != "ready" {
			t.Fatalf("%+v, %v", e, err)
		}
		if n++; n == 3 {
			break
		}
	}
	<-ended
	if q := (<-seen).URL.Query(); q.Get("namespace") != "default" || q.Get("since") != "1h0m0s" || q.Get("follow") != "1" {
		t.Errorf("%v", q)
	}
}
