package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// form is how one of the two endpoints words its answers.
type form struct {
	idPrefix    string
	object      string // of a whole answer
	chunkObject string // of a streamed piece
	whole       func(text, finish string) map[string]any
	piece       func(text string) map[string]any
	first       map[string]any // opens a stream; nil for none
	last        func(finish string) map[string]any
}

var completionForm = form{
	idPrefix: "cmpl-", object: "text_completion", chunkObject: "text_completion",
	whole: textChoice,
	piece: func(text string) map[string]any { return textChoice(text, "") },
	last:  func(finish string) map[string]any { return textChoice("", finish) },
}

var chatForm = form{
	idPrefix: "chatcmpl-", object: "chat.completion", chunkObject: "chat.completion.chunk",
	whole: func(text, finish string) map[string]any {
		return choice("message", map[string]any{"role": "assistant", "content": text, "refusal": nil}, finish)
	},
	piece: func(text string) map[string]any { return choice("delta", map[string]any{"content": text}, "") },
	first: choice("delta", map[string]any{"role": "assistant", "content": ""}, ""),
	last:  func(finish string) map[string]any { return choice("delta", map[string]any{}, finish) },
}

func textChoice(text, finish string) map[string]any { return choice("text", text, finish) }

func choice(key string, value any, finish string) map[string]any {
	return map[string]any{"index": 0, key: value, "logprobs": nil, "finish_reason": nullable(finish)}
}

func (s *Server) completions(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, completionForm, decodeCompletion)
}

func (s *Server) chatCompletions(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, chatForm, func(body []byte) (job, *Error) { return decodeChat(body, s.opts.ChatPrompt) })
}

// serve reads, checks and answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, f form, decode func([]byte) (job, *Error)) {
	j, refusal := s.read(w, r, decode)
	if refusal != nil {
		writeError(w, refusal)
		return
	}
	engine, refusal := s.ready()
	if refusal != nil {
		writeError(w, refusal)
		return
	}
	release, refusal := s.acquire(r.Context())
	if refusal != nil {
		writeError(w, refusal)
		return
	}
	defer release()
	a := answer{form: f, w: w, control: http.NewResponseController(w), head: map[string]any{
		"id": f.idPrefix + s.newID(), "created": s.now().Unix(), "model": s.opts.Model,
	}}
	if j.stream {
		a.stream(r.Context(), engine, j)
		return
	}
	a.complete(r.Context(), engine, j)
}

func (s *Server) read(w http.ResponseWriter, r *http.Request, decode func([]byte) (job, *Error)) (job, *Error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return job{}, &Error{Status: http.StatusRequestEntityTooLarge, Type: typeInvalid, Code: "body_too_large",
			Message: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	case err != nil:
		return job{}, clientGone(err)
	}
	j, refusal := decode(body)
	if refusal == nil && j.model != "" && j.model != s.opts.Model {
		return job{}, s.noSuchModel(j.model)
	}
	return j, refusal
}

// answer writes one answer.
type answer struct {
	form
	w       http.ResponseWriter
	control *http.ResponseController
	head    map[string]any
}

// complete answers in one piece.
func (a answer) complete(ctx context.Context, engine Engine, j job) {
	var text strings.Builder
	res, err := engine.Generate(ctx, j.gen, func(piece string) error {
		text.WriteString(piece)
		return nil
	})
	switch {
	case ctx.Err() != nil:
		writeError(a.w, clientGone(ctx.Err()))
	case err != nil:
		writeError(a.w, internal(err))
	default:
		a.head["object"] = a.object
		a.head["choices"] = []any{a.whole(text.String(), res.Finish)}
		a.head["usage"] = usage(res)
		a.deadline()
		writeJSON(a.w, http.StatusOK, a.head)
	}
}

// stream answers with server-sent events, one per token.
func (a answer) stream(ctx context.Context, engine Engine, j job) {
	a.w.Header().Set("Content-Type", "text/event-stream")
	a.w.Header().Set("Cache-Control", "no-cache")
	a.w.Header().Set("X-Accel-Buffering", "no") // a proxy in front must not collect the events
	a.head["object"] = a.chunkObject
	if a.first != nil && a.chunk(a.first) != nil {
		return
	}
	res, err := engine.Generate(ctx, j.gen, func(piece string) error { return a.chunk(a.piece(piece)) })
	if err != nil {
		// Too late for a status: say it in the stream, and leave out [DONE].
		_ = a.event(internal(err).body())
		return
	}
	if a.chunk(a.last(res.Finish)) != nil {
		return
	}
	if j.includeUsage {
		a.head["choices"], a.head["usage"] = []any{}, usage(res)
		if a.event(a.head) != nil {
			return
		}
	}
	_ = a.data([]byte("[DONE]"))
}

func (a answer) chunk(choice map[string]any) error {
	a.head["choices"] = []any{choice}
	return a.event(a.head)
}

func (a answer) event(body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return a.data(data)
}

func (a answer) data(data []byte) error {
	a.deadline()
	if _, err := fmt.Fprintf(a.w, "data: %s\n\n", data); err != nil {
		return err
	}
	return a.control.Flush()
}

// deadline gives the client writeTimeout from now to take the next piece. A writer
// without deadlines (a test recorder) does without.
func (a answer) deadline() { _ = a.control.SetWriteDeadline(time.Now().Add(writeTimeout)) }

func usage(r Result) map[string]any {
	return map[string]any{
		"prompt_tokens": r.PromptTokens, "completion_tokens": r.CompletionTokens,
		"total_tokens": r.PromptTokens + r.CompletionTokens,
	}
}
