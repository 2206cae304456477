package openai

import (
	"math"
	"net/http"
	"testing"
)

var seeds = []string{
	`{"model":"tinylm","prompt":"Is it hot?","max_tokens":5,"temperature":0.5,"top_p":0.9,"top_k":5,"seed":1,"stop":["x"]}`,
	`{"prompt":["x"],"stream":true,"stream_options":{"include_usage":true}}`,
	`{"messages":[{"role":"user","content":"hi"}],"max_completion_tokens":3}`,
	`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`,
	`{"prompt":null}`, `[]`, `{`, `null`, `{"prompt":"x"}{}`, `{"stop":[[]]}`,
}

// A request is refused with a message, or comes out within every limit.
func checkJob(t *testing.T, j job, refusal *Error) {
	t.Helper()
	if refusal != nil {
		if refusal.Status != http.StatusBadRequest || refusal.Message == "" || refusal.Type != typeInvalid {
			t.Fatalf("refused without saying why: %+v", refusal)
		}
		return
	}
	g := j.gen
	if g.MaxTokens < 1 || g.MaxTokens > MaxTokens || math.IsNaN(g.Temperature) || g.Temperature < 0 || g.Temperature > maxTemperature ||
		!(g.TopP > 0 && g.TopP <= 1) || g.TopK < 0 || len(g.Stop) > maxStops {
		t.Fatalf("outside its limits: %+v", g)
	}
	for _, s := range g.Stop {
		if s == "" || len(s) > maxStopBytes {
			t.Fatalf("stop sequence of %d bytes", len(s))
		}
	}
}

func FuzzDecodeCompletion(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		j, refusal := decodeCompletion(body)
		checkJob(t, j, refusal)
	})
}

func FuzzDecodeChat(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		j, refusal := decodeChat(body, func(m string) string { return m })
		checkJob(t, j, refusal)
	})
}
