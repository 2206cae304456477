package openai

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// patience bounds every wait of these tests; none takes that long when all is well.
const patience = 90 * time.Second

// scripted is an Engine that says its pieces. The protocol is under test here; the
// tests of the command run it with a trained model.
type scripted struct {
	pieces []string
	fail   error
	gate   chan struct{} // when set, one receive per piece
	asked  chan Generation
	ended  chan error
}

func (e *scripted) Generate(ctx context.Context, req Generation, emit func(string) error) (res Result, err error) {
	if e.asked != nil {
		e.asked <- req
	}
	if e.ended != nil {
		defer func() { e.ended <- err }()
	}
	for _, piece := range e.pieces {
		if e.gate != nil {
			select {
			case <-e.gate:
			case <-ctx.Done():
				return res, ctx.Err()
			}
		}
		if err := emit(piece); err != nil {
			return res, err
		}
		res.CompletionTokens++
	}
	return Result{Finish: "stop", PromptTokens: len(req.Prompt), CompletionTokens: len(e.pieces)}, e.fail
}

func newServer(opts Options, e Engine) *Server {
	s := New(opts)
	s.now = func() time.Time { return time.Unix(1_700_000_000, 0) }
	s.created = s.now()
	s.newID = func() string { return "ID" }
	if e != nil {
		s.SetEngine(e)
	}
	return s
}

func do(s *Server, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func TestAnswersAreGolden(t *testing.T) {
	s := newServer(Options{}, &scripted{pieces: []string{" It", " is", " hot."}})
	for name, c := range map[string]struct{ method, path, body string }{
		"completion":        {"POST", "/v1/completions", `{"model":"tinylm","prompt":"Is it hot?"}`},
		"completion_list":   {"POST", "/v1/completions", `{"prompt":["Is it hot?"],"stop":null,"n":1}`},
		"completion_stream": {"POST", "/v1/completions", `{"prompt":"Is it hot?","stream":true}`},
		"chat":              {"POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"Is it hot?"}]}`},
		"chat_stream":       {"POST", "/v1/chat/completions", `{"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":[{"type":"text","text":"Is it hot?"}]}]}`},
		"models":            {"GET", "/v1/models", ""},
		"model":             {"GET", "/v1/models/tinylm", ""},
		"health":            {"GET", "/health", ""},
		"no_model":          {"GET", "/v1/models/gpt-4", ""},
		"no_path":           {"GET", "/v2/x", ""},
		"wrong_method":      {"GET", "/v1/completions", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := do(s, c.method, c.path, c.body)
			golden(t, name, w.Result().Status+"\nContent-Type: "+w.Header().Get("Content-Type")+"\n\n"+w.Body.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParametersReachTheEngine(t *testing.T) {
	e := &scripted{asked: make(chan Generation, 1)}
	s := newServer(Options{ChatPrompt: func(m string) string { return "<" + m + ">" }}, e)
	w := do(s, "POST", "/v1/chat/completions", `{"messages":[
		{"role":"system","content":"be brief"},{"role":"user","content":"one"},
		{"role":"assistant","content":"two"},{"role":"user","content":"three"}],
		"max_tokens":9,"max_completion_tokens":7,"temperature":0,"top_p":0.5,"top_k":3,"seed":-1,"stop":["a","b"]}`)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	got, _ := json.Marshal(<-e.asked)
	want := `{"Prompt":"\u003cthree\u003e","MaxTokens":7,"Temperature":0,"TopP":0.5,"TopK":3,"Seed":18446744073709551615,"Stop":["a","b"]}`
	if string(got) != want {
		t.Errorf("the engine was asked\n%s, want\n%s", got, want)
	}
}

func TestMalformedRequestsNameTheParameter(t *testing.T) {
	s := newServer(Options{}, &scripted{})
	const completions, chat = "/v1/completions", "/v1/chat/completions"
	for _, c := range []struct{ path, body, param string }{
		{completions, ``, ""},
		{completions, `{`, ""},
		{completions, `[]`, ""},
		{completions, `{"prompt":"x"} {}`, ""},
		{completions, `{}`, "prompt"},
		{completions, `{"prompt":null}`, "prompt"},
		{completions, `{"prompt":[1,2]}`, "prompt"},
		{completions, `{"prompt":["a","b"]}`, "prompt"},
		{completions, `{"prompt":"x","max_tokens":0}`, "max_tokens"},
		{completions, `{"prompt":"x","max_tokens":5000}`, "max_tokens"},
		{completions, `{"prompt":"x","max_tokens":"many"}`, "max_tokens"},
		{completions, `{"prompt":"x","max_tokens":1.5}`, "max_tokens"},
		{completions, `{"prompt":"x","temperature":-0.1}`, "temperature"},
		{completions, `{"prompt":"x","temperature":2.1}`, "temperature"},
		{completions, `{"prompt":"x","top_p":0}`, "top_p"},
		{completions, `{"prompt":"x","top_p":1.1}`, "top_p"},
		{completions, `{"prompt":"x","top_k":-1}`, "top_k"},
		{completions, `{"prompt":"x","n":2}`, "n"},
		{completions, `{"prompt":"x","logprobs":3}`, "logprobs"},
		{completions, `{"prompt":"x","echo":true}`, "echo"},
		{completions, `{"prompt":"x","suffix":"y"}`, "suffix"},
		{completions, `{"prompt":"x","best_of":2}`, "best_of"},
		{completions, `{"prompt":"x","stop":7}`, "stop"},
		{completions, `{"prompt":"x","stop":[""]}`, "stop"},
		{completions, `{"prompt":"x","stop":["1","2","3","4","5"]}`, "stop"},
		{completions, `{"prompt":"x","stream_options":{}}`, "stream_options"},
		{completions, `{"prompt":"x","seed":1e99}`, "seed"},
		{chat, `{}`, "messages"},
		{chat, `{"messages":[]}`, "messages"},
		{chat, `{"messages":[{"role":"system","content":"x"}]}`, "messages"},
		{chat, `{"messages":[{"role":"king","content":"x"}]}`, "messages"},
		{chat, `{"messages":[{"role":"user","content":7}]}`, "messages"},
		{chat, `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, "messages"},
		{chat, `{"messages":[{"role":"user","content":"x"}],"max_completion_tokens":-1}`, "max_completion_tokens"},
		{chat, `{"messages":[{"role":"user","content":"x"}],"tools":[{}]}`, "tools"},
	} {
		t.Run(c.body, func(t *testing.T) {
			w := do(s, "POST", c.path, c.body)
			if w.Code != http.StatusBadRequest {
				t.Errorf("status %d, want 400: %s", w.Code, w.Body)
			}
			checkError(t, w, typeInvalid, c.param)
		})
	}
}

// checkError wants OpenAI's error shape.
func checkError(t *testing.T, w *httptest.ResponseRecorder, kind, param string) {
	t.Helper()
	var body struct {
		Error *struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
		} `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == nil {
		t.Fatalf("not an error body: %s (%v)", w.Body, err)
	}
	got := ""
	if body.Error.Param != nil {
		got = *body.Error.Param
	}
	if body.Error.Message == "" || body.Error.Type != kind || got != param {
		t.Errorf("got %s, want type %q and param %q", w.Body, kind, param)
	}
}

func TestOtherRefusals(t *testing.T) {
	s := newServer(Options{}, &scripted{})
	w := do(s, "POST", "/v1/completions", `{"model":"gpt-4","prompt":"x"}`)
	if w.Code != http.StatusNotFound {
		t.Errorf("unknown model: %d, want 404", w.Code)
	}
	checkError(t, w, typeInvalid, "model")

	w = do(s, "POST", "/v1/completions", `{"prompt":"`+strings.Repeat("x", maxBodyBytes)+`"}`)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: %d, want 413", w.Code)
	}
	checkError(t, w, typeInvalid, "")
}

func TestLoadingAndDraining(t *testing.T) {
	s := newServer(Options{}, nil)
	check := func(when string, status int) {
		t.Helper()
		for _, w := range []*httptest.ResponseRecorder{
			do(s, "GET", "/health", ""),
			do(s, "POST", "/v1/completions", `{"prompt":"x"}`),
		} {
			if w.Code != status {
				t.Errorf("%s: %d, want %d: %s", when, w.Code, status, w.Body)
			}
		}
	}
	check("loading", http.StatusServiceUnavailable)
	s.SetEngine(&scripted{})
	check("ready", http.StatusOK)
	s.Drain()
	check("draining", http.StatusServiceUnavailable)
}

func TestEngineFailure(t *testing.T) {
	s := newServer(Options{}, &scripted{pieces: []string{"half"}, fail: errors.New("boom")})
	w := do(s, "POST", "/v1/completions", `{"prompt":"x"}`)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status %d, want 500", w.Code)
	}
	checkError(t, w, typeServer, "")

	w = do(s, "POST", "/v1/completions", `{"prompt":"x","stream":true}`)
	if body := w.Body.String(); !strings.Contains(body, "half") || !strings.Contains(body, `"error":{`) || strings.Contains(body, "[DONE]") {
		t.Errorf("a failed stream must hold the text, the error and no [DONE]: %s", body)
	}
}

// post sends a request that is expected to reach the engine.
func post(t *testing.T, ctx context.Context, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen within %s", what, patience)
		panic("unreachable")
	}
}

func TestStreamArrivesPieceByPiece(t *testing.T) {
	e := &scripted{pieces: []string{"one", "two"}, gate: make(chan struct{})}
	server := httptest.NewServer(newServer(Options{}, e).Handler())
	defer server.Close()
	// The headers come with the first event, so the gate is opened beside the request.
	go func() { e.gate <- struct{}{} }()
	res := post(t, t.Context(), server.URL, `{"prompt":"x","stream":true}`)
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"one"`) {
		t.Fatalf("first event is %q, want it before the second is made", lines.Text())
	}
	e.gate <- struct{}{}
	var rest strings.Builder
	for lines.Scan() {
		rest.WriteString(lines.Text() + "\n")
	}
	if !strings.Contains(rest.String(), `"two"`) || !strings.HasSuffix(rest.String(), "data: [DONE]\n\n") {
		t.Errorf("the rest is %q", rest.String())
	}
}

func TestAClientThatGoesAwayEndsTheGeneration(t *testing.T) {
	for name, body := range map[string]string{"stream": `{"prompt":"x","stream":true}`, "whole": `{"prompt":"x"}`} {
		t.Run(name, func(t *testing.T) {
			e := &scripted{pieces: []string{"never"}, gate: make(chan struct{}), asked: make(chan Generation, 1), ended: make(chan error, 1)}
			server := httptest.NewServer(newServer(Options{}, e).Handler())
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v1/completions", strings.NewReader(body))
				if res, err := http.DefaultClient.Do(req); err == nil {
					res.Body.Close()
				}
			}()
			within(t, "the generation", e.asked)
			cancel()
			if err := within(t, "the end of the generation", e.ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the generation ended with %v, want context.Canceled", err)
			}
		})
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	e := &scripted{pieces: []string{"x"}, gate: make(chan struct{}), asked: make(chan Generation, 10)}
	s := newServer(Options{Slots: 1, Queue: 1}, e)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	answers := make(chan int, 2)
	ask := func() {
		res, err := http.Post(server.URL+"/v1/completions", "application/json", strings.NewReader(`{"prompt":"x"}`))
		if err != nil {
			answers <- 0
			return
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		answers <- res.StatusCode
	}
	go ask()
	within(t, "the first generation", e.asked)
	go ask()
	for deadline := time.After(patience); len(s.waiting) < 2; {
		select {
		case <-deadline:
			t.Fatal("the second request never came to wait")
		case <-time.After(time.Millisecond):
		}
	}
	w := do(s, "POST", "/v1/completions", `{"prompt":"x"}`)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("third request: %d with Retry-After %q, want 429 with one", w.Code, w.Header().Get("Retry-After"))
	}
	checkError(t, w, typeRateLimit, "")
	if len(e.asked) != 0 {
		t.Error("two generations at once with one slot")
	}
	for range 2 {
		e.gate <- struct{}{}
		if status := within(t, "an answer", answers); status != http.StatusOK {
			t.Errorf("status %d, want 200", status)
		}
	}
	if len(s.waiting) != 0 || len(s.slots) != 0 {
		t.Errorf("%d slots and %d places are still taken", len(s.slots), len(s.waiting))
	}
}

func TestWaitingEndsWithItsClient(t *testing.T) {
	s := newServer(Options{Slots: 1, Queue: 1}, &scripted{})
	release, refusal := s.acquire(t.Context())
	if refusal != nil {
		t.Fatal(refusal)
	}
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, refusal := s.acquire(ctx); refusal == nil || refusal.Status != statusClientGone {
		t.Errorf("got %v, want client gone", refusal)
	}
	if len(s.waiting) != 1 {
		t.Errorf("%d places taken, want the one of the running request", len(s.waiting))
	}
}
