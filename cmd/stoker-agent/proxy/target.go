package proxy

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// The OpenAI endpoints a payload may ask for by its shape.
const (
	pathChat        = "/v1/chat/completions"
	pathCompletions = "/v1/completions"
	pathEmbeddings  = "/v1/embeddings"
)

// target is where on the model server an event goes: where it says itself, where the
// manifest says, or where its payload's shape says.
func target(r functions.Runtime, e events.Event) (*url.URL, error) {
	path := e.Path
	switch {
	case path != "":
	case r.Protocol == functions.ProtocolOpenAI && (r.Path == "" || r.Path == "/"):
		path = openAIPath(e.Data)
	case r.Path != "":
		path = r.Path
	default:
		path = "/"
	}
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return nil, fmt.Errorf("path %q: want one that starts with a single /", path)
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", path, err)
	}
	return u, nil
}

func openAIPath(payload []byte) string {
	var shape struct {
		Messages json.RawMessage `json:"messages"`
		Input    json.RawMessage `json:"input"`
	}
	_ = json.Unmarshal(payload, &shape) // what is no JSON the server refuses in its own words
	switch {
	case shape.Messages != nil:
		return pathChat
	case shape.Input != nil:
		return pathEmbeddings
	default:
		return pathCompletions
	}
}
