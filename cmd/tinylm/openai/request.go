package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
)

// Limits and defaults of requests.
const (
	// MaxTokens bounds one answer, so that a slot comes free within seconds.
	MaxTokens = 4096
	// defaultCompletionTokens is OpenAI's default for /v1/completions.
	defaultCompletionTokens = 16
	// defaultChatTokens is longer than any answer in the training text.
	defaultChatTokens = 512
	// maxStops is OpenAI's limit.
	maxStops = 4
	// maxStopBytes bounds the text that is kept back while it may become a stop sequence.
	maxStopBytes = 256
	// maxTemperature is OpenAI's limit.
	maxTemperature = 2
	// defaultTemperature is below OpenAI's 1: so small a model is soon lost when it
	// does not take its better guesses.
	defaultTemperature = 0.2
)

// common holds the parameters that both endpoints take.
type common struct {
	Model         string          `json:"model"`
	MaxTokens     *int            `json:"max_tokens"`
	Temperature   *float64        `json:"temperature"`
	TopP          *float64        `json:"top_p"`
	TopK          *int            `json:"top_k"`
	Seed          *int64          `json:"seed"`
	Stop          json.RawMessage `json:"stop"`
	Stream        bool            `json:"stream"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	N        *int            `json:"n"`
	Logprobs json.RawMessage `json:"logprobs"`
}

// job is a decoded and checked request.
type job struct {
	model        string
	gen          Generation
	stream       bool
	includeUsage bool
}

type completionRequest struct {
	common
	Prompt json.RawMessage `json:"prompt"`
	Echo   bool            `json:"echo"`
	Suffix string          `json:"suffix"`
	BestOf *int            `json:"best_of"`
}

type chatRequest struct {
	common
	Messages            []chatMessage     `json:"messages"`
	MaxCompletionTokens *int              `json:"max_completion_tokens"`
	Tools               []json.RawMessage `json:"tools"`
}

type chatMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// decodeCompletion reads and checks the body of POST /v1/completions.
func decodeCompletion(body []byte) (job, *Error) {
	var req completionRequest
	if err := decode(body, &req); err != nil {
		return job{}, err
	}
	switch {
	case req.Echo:
		return job{}, unsupported("echo", "leave it out and put the prompt before the answer yourself")
	case req.Suffix != "":
		return job{}, unsupported("suffix", "it writes forwards only")
	case req.BestOf != nil && *req.BestOf != 1:
		return job{}, unsupported("best_of", "leave it out")
	}
	prompt, err := decodePrompt(req.Prompt)
	if err != nil {
		return job{}, err
	}
	return req.job(prompt, req.MaxTokens, "max_tokens", defaultCompletionTokens)
}

// decodeChat reads and checks the body of POST /v1/chat/completions.
func decodeChat(body []byte, chatPrompt func(string) string) (job, *Error) {
	var req chatRequest
	if err := decode(body, &req); err != nil {
		return job{}, err
	}
	if len(req.Tools) > 0 {
		return job{}, unsupported("tools", "it only writes text")
	}
	message, err := lastUserMessage(req.Messages)
	if err != nil {
		return job{}, err
	}
	if req.MaxCompletionTokens != nil {
		return req.job(chatPrompt(message), req.MaxCompletionTokens, "max_completion_tokens", defaultChatTokens)
	}
	return req.job(chatPrompt(message), req.MaxTokens, "max_tokens", defaultChatTokens)
}

func decode(body []byte, into any) *Error {
	dec := json.NewDecoder(bytes.NewReader(body))
	err := dec.Decode(into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return invalid(paramName(wrongType.Field), "%s is a JSON %s, want %s", fieldOrBody(wrongType.Field), wrongType.Value, wrongType.Type)
	case err != nil:
		return invalid("", "the body is not a JSON object: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("", "there is something after the JSON object; send one object")
	}
	return nil
}

// paramName drops the name of the embedded struct that encoding/json may put first.
func paramName(field string) string { return strings.TrimPrefix(field, "common.") }

func fieldOrBody(field string) string {
	if field == "" {
		return "the body"
	}
	return paramName(field)
}

// decodePrompt takes a string or a list with one string.
func decodePrompt(raw json.RawMessage) (string, *Error) {
	var one string
	var many []string
	switch {
	case absent(raw):
		return "", invalid("prompt", "prompt is missing; send a string")
	case json.Unmarshal(raw, &one) == nil:
		return one, nil
	case json.Unmarshal(raw, &many) != nil:
		return "", invalid("prompt", "prompt must be a string; token numbers are not supported")
	case len(many) != 1:
		return "", invalid("prompt", "prompt is a list of %d strings, want one; send a request for each", len(many))
	}
	return many[0], nil
}

// lastUserMessage is what the model answers: its context is too short for more.
func lastUserMessage(messages []chatMessage) (string, *Error) {
	if len(messages) == 0 {
		return "", invalid("messages", "messages is missing or empty; send at least one with role user")
	}
	last, found := "", false
	for i, m := range messages {
		switch m.Role {
		case "system", "developer", "user", "assistant", "tool":
		default:
			return "", invalid("messages", "messages[%d].role is %q, allowed are system, developer, user, assistant, tool", i, m.Role)
		}
		text, ok := contentText(m.Content)
		if !ok {
			return "", invalid("messages", "messages[%d].content must be a string or a list of {\"type\": \"text\", \"text\": …}", i)
		}
		if m.Role == "user" {
			last, found = text, true
		}
	}
	if !found {
		return "", invalid("messages", "none of the %d messages has role user", len(messages))
	}
	return last, nil
}

func contentText(raw json.RawMessage) (string, bool) {
	var text string
	if absent(raw) || json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return "", false
	}
	for _, p := range parts {
		if p.Type != "text" {
			return "", false
		}
		text += p.Text
	}
	return text, true
}

// job checks the common parameters.
func (c common) job(prompt string, maxTokens *int, maxTokensName string, defaultTokens int) (job, *Error) {
	if err := c.refuse(); err != nil {
		return job{}, err
	}
	tokens := or(maxTokens, defaultTokens)
	if tokens < 1 || tokens > MaxTokens {
		return job{}, invalid(maxTokensName, "%s is %d, allowed is 1 to %d", maxTokensName, tokens, MaxTokens)
	}
	stops, err := decodeStop(c.Stop)
	if err != nil {
		return job{}, err
	}
	j := job{model: c.Model, stream: c.Stream, includeUsage: c.StreamOptions != nil && c.StreamOptions.IncludeUsage}
	j.gen = Generation{Prompt: prompt, MaxTokens: tokens, Stop: stops, TopK: or(c.TopK, 0)}
	j.gen.Temperature, j.gen.TopP = or(c.Temperature, defaultTemperature), or(c.TopP, 1)
	j.gen.Seed = rand.Uint64()
	if c.Seed != nil {
		j.gen.Seed = uint64(*c.Seed)
	}
	return j, j.gen.check()
}

func (c common) refuse() *Error {
	if c.N != nil && *c.N != 1 {
		return invalid("n", "n is %d, allowed is 1; send the request again for another answer", *c.N)
	}
	if !absent(c.Logprobs) && string(c.Logprobs) != "false" {
		return unsupported("logprobs", "leave it out")
	}
	if c.StreamOptions != nil && !c.Stream {
		return invalid("stream_options", "stream_options is only allowed with \"stream\": true")
	}
	return nil
}

func (g Generation) check() *Error {
	switch {
	case math.IsNaN(g.Temperature) || g.Temperature < 0 || g.Temperature > maxTemperature:
		return invalid("temperature", "temperature is %g, allowed is 0 to %d", g.Temperature, maxTemperature)
	case math.IsNaN(g.TopP) || g.TopP <= 0 || g.TopP > 1:
		return invalid("top_p", "top_p is %g, allowed is above 0 and up to 1", g.TopP)
	case g.TopK < 0:
		return invalid("top_k", "top_k is %d, allowed is 0 (all) and more", g.TopK)
	}
	return nil
}

func decodeStop(raw json.RawMessage) ([]string, *Error) {
	var one string
	var stops []string
	switch {
	case absent(raw):
		return nil, nil
	case json.Unmarshal(raw, &one) == nil:
		stops = []string{one}
	case json.Unmarshal(raw, &stops) != nil:
		return nil, invalid("stop", "stop must be a string or a list of strings")
	}
	if len(stops) > maxStops {
		return nil, invalid("stop", "stop has %d sequences, allowed are up to %d", len(stops), maxStops)
	}
	for i, s := range stops {
		if s == "" || len(s) > maxStopBytes {
			return nil, invalid("stop", "stop[%d] has %d bytes, allowed is 1 to %d", i, len(s), maxStopBytes)
		}
	}
	return stops, nil
}

func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
