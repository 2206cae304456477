package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"stoker.dev/stoker/functions"
)

func TestUsage(t *testing.T) {
	for text, want := range map[string]Usage{
		`{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}`: {12, 34},
		`{"usage":{"input_tokens":5,"output_tokens":6}}`:                                       {5, 6},
		`{"data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}`:                             {7, 0},
		`{"choices":[]}`:                           {},
		`{"usage":null}`:                           {},
		`{"text":"\"usage\""}`:                     {},
		`{"usage":{"prompt_tokens":-1}}`:           {},
		`{"usage":{"prompt_tokens":1e3}}`:          {},
		`{"usage":{"prompt_tokens":999999999999}}`: {},
		`{"usage":`:                                {},
	} {
		if got := usageOf([]byte(text)); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// TestUsageOfAnswers reads whole answers and streams, of servers that speak OpenAI's protocol alone.
func TestUsageOfAnswers(t *testing.T) {
	answer := func(media, body string) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	}
	stream := "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n" +
		"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\r\n\r\ndata: [DONE]\n\n"
	openai, plain := New(1, functions.Runtime{Protocol: functions.ProtocolOpenAI}, 1), New(1, functions.Runtime{Protocol: functions.ProtocolHTTP}, 1)
	if got := openai.whole(answer("application/json", `{"usage":{"prompt_tokens":1,"completion_tokens":2}}`), 1<<20).Usage; got != (Usage{1, 2}) {
		t.Errorf("a whole answer: %+v", got)
	}
	passed := 0
	call := Call{Limit: 1 << 20, Chunk: func(b []byte) error { passed += len(b); return nil }}
	if got := openai.stream(answer("text/event-stream", stream), call).Usage; got != (Usage{3, 9}) || passed != len(stream) {
		t.Errorf("a stream: %+v, %d of %d bytes passed on", got, passed, len(stream))
	}
	if got := plain.stream(answer("text/event-stream", stream), call).Usage; got != (Usage{}) {
		t.Errorf("what another protocol calls usage is counted: %+v", got)
	}
}
