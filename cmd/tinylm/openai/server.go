// Package openai serves one text generator over OpenAI's HTTP API:
//
//	POST /v1/completions        text in, text out; SSE with "stream": true
//	POST /v1/chat/completions   messages in, a message out; SSE likewise
//	GET  /v1/models             the one model
//	GET  /v1/models/{id}
//	GET  /health                200 when ready, 503 while loading and while draining
//
// Errors have OpenAI's shape, {"error": {message, type, param, code}}. A request
// whose client goes away is abandoned at the next token. At most Slots requests
// generate at once and Queue more wait; beyond that the answer is 429 with
// Retry-After.
//
// What OpenAI's API has and one tiny model cannot honour (n above 1, logprobs,
// echo, tools) is refused with 400 and the name of the parameter, not ignored.
package openai

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync/atomic"
	"time"
)

// Engine generates text. It must be safe for concurrent use.
type Engine interface {
	// Generate passes each piece of the answer to emit and returns when it is
	// complete. It returns ctx's error soon after ctx is done, and emit's error at once.
	Generate(ctx context.Context, req Generation, emit func(text string) error) (Result, error)
}

// Generation is what is asked of an Engine.
type Generation struct {
	Prompt      string
	MaxTokens   int
	Temperature float64
	TopP        float64
	TopK        int
	Seed        uint64
	Stop        []string
}

// Result is how a generation ended.
type Result struct {
	Finish           string // "stop" or "length"
	PromptTokens     int
	CompletionTokens int
}

// Options configure a Server. Zero values mean the defaults.
type Options struct {
	Model string // name in /v1/models and in answers; default "tinylm"
	Slots int    // requests that generate at once; default DefaultSlots
	Queue int    // requests that wait for a slot; default DefaultQueue, below zero none
	// ChatPrompt turns the last user message into the model's prompt; default is the message.
	ChatPrompt func(message string) string
}

const (
	// DefaultSlots keeps two cores busy without making any one answer crawl.
	DefaultSlots = 8
	// DefaultQueue bounds how long the last in line waits: a few seconds at full length.
	DefaultQueue = 64
	// retryAfterSeconds is about how long a slot is held by one ordinary request.
	retryAfterSeconds = 1
	// writeTimeout frees the slot of a client that stopped reading.
	writeTimeout = 10 * time.Second
	// maxBodyBytes is far above any prompt that a context of some hundred characters can use.
	maxBodyBytes = 1 << 20
)

// Server answers OpenAI requests with an Engine that may arrive later.
type Server struct {
	opts     Options
	engine   atomic.Pointer[Engine]
	draining atomic.Bool
	waiting  chan struct{} // holds one element per request that generates or waits
	slots    chan struct{} // holds one element per request that generates
	created  time.Time

	now   func() time.Time
	newID func() string
}

// New makes a server that is loading until SetEngine.
func New(opts Options) *Server {
	if opts.Model == "" {
		opts.Model = "tinylm"
	}
	if opts.Slots <= 0 {
		opts.Slots = DefaultSlots
	}
	if opts.Queue == 0 {
		opts.Queue = DefaultQueue
	}
	if opts.ChatPrompt == nil {
		opts.ChatPrompt = func(message string) string { return message }
	}
	return &Server{
		opts:    opts,
		waiting: make(chan struct{}, opts.Slots+max(0, opts.Queue)),
		slots:   make(chan struct{}, opts.Slots),
		created: time.Now(),
		now:     time.Now,
		newID:   rand.Text,
	}
}

// SetEngine makes the server ready.
func (s *Server) SetEngine(e Engine) { s.engine.Store(&e) }

// Drain makes /health answer 503 and refuses new generations. Those under way go on.
func (s *Server) Drain() { s.draining.Store(true) }

// Handler routes the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", only(http.MethodGet, s.health))
	mux.HandleFunc("/v1/models", only(http.MethodGet, s.listModels))
	mux.HandleFunc("/v1/models/{id}", only(http.MethodGet, s.getModel))
	mux.HandleFunc("/v1/completions", only(http.MethodPost, s.completions))
	mux.HandleFunc("/v1/chat/completions", only(http.MethodPost, s.chatCompletions))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, notFound("there is no %s; see GET /v1/models, POST /v1/completions, POST /v1/chat/completions", r.URL.Path))
	})
	return mux
}

func only(method string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
			w.Header().Set("Allow", method)
			writeError(w, &Error{Status: http.StatusMethodNotAllowed, Type: typeInvalid,
				Message: "method " + r.Method + " is not allowed here, use " + method})
			return
		}
		// The connection may still carry the write deadline of an earlier answer.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		next(w, r)
	}
}

// ready gives the engine, or says why there is none now.
func (s *Server) ready() (Engine, *Error) {
	if s.draining.Load() {
		return nil, unavailable("draining", "the server is shutting down; try another replica")
	}
	e := s.engine.Load()
	if e == nil {
		return nil, unavailable("loading", "the model is being loaded; GET /health answers 200 when it is ready")
	}
	return *e, nil
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if _, err := s.ready(); err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": err.Code})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

type modelInfo struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func (s *Server) model() modelInfo {
	return modelInfo{ID: s.opts.Model, Object: "model", Created: s.created.Unix(), OwnedBy: "stoker"}
}

func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []modelInfo{s.model()}})
}

func (s *Server) getModel(w http.ResponseWriter, r *http.Request) {
	if id := r.PathValue("id"); id != s.opts.Model {
		writeError(w, s.noSuchModel(id))
		return
	}
	writeJSON(w, http.StatusOK, s.model())
}

// acquire waits for a slot. The returned function gives it back.
func (s *Server) acquire(ctx context.Context) (release func(), err *Error) {
	select {
	case s.waiting <- struct{}{}:
	default:
		return nil, tooMany(cap(s.slots), cap(s.waiting)-cap(s.slots))
	}
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots; <-s.waiting }, nil
	case <-ctx.Done():
		<-s.waiting
		return nil, clientGone(ctx.Err())
	}
}
