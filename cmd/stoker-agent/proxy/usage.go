package proxy

import (
	"bytes"
	"encoding/json"
)

// maxTokens bounds what a model server may say of one answer: above any context there is, and a
// mistake in one answer does not spoil the sums of a month.
const maxTokens = 100_000_000

// Usage is how many tokens a model server says that one request took.
type Usage struct{ In, Out uint64 }

// usageField is what an answer that tells its usage has in it; the others are not read for it.
var usageField = []byte(`"usage"`)

// usageOf reads the usage of an OpenAI answer, or of one event of its stream: prompt and
// completion tokens, which the responses API calls input and output tokens. It is zero where there
// is none, or where it makes no sense.
func usageOf(answer []byte) Usage {
	if !bytes.Contains(answer, usageField) {
		return Usage{}
	}
	var a struct {
		Usage *struct {
			Prompt     uint64 `json:"prompt_tokens"`
			Completion uint64 `json:"completion_tokens"`
			Input      uint64 `json:"input_tokens"`
			Output     uint64 `json:"output_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.Usage == nil {
		return Usage{}
	}
	u := Usage{In: max(a.Usage.Prompt, a.Usage.Input), Out: max(a.Usage.Completion, a.Usage.Output)}
	if u.In > maxTokens || u.Out > maxTokens {
		return Usage{}
	}
	return u
}

// dataField begins the lines of a server-sent event that hold its data.
var dataField = []byte("data:")

// usageOfEvent reads a server-sent event, whose data is one line.
func usageOfEvent(event []byte) Usage {
	if !bytes.Contains(event, usageField) {
		return Usage{}
	}
	for line := range bytes.Lines(event) {
		if data, found := bytes.CutPrefix(line, dataField); found {
			return usageOf(data)
		}
	}
	return Usage{}
}

// counting passes the events of a stream on and keeps the last usage: servers tell it at the end,
// or with every event how much it was so far.
func counting(u *Usage, do func([]byte) error) func([]byte) error {
	return func(event []byte) error {
		if told := usageOfEvent(event); told != (Usage{}) {
			*u = told
		}
		return do(event)
	}
}
