package api

import (
	"bytes"
	"encoding/json"
	"strings"
)

// ChunkText is the text in one line of a stream of server-sent events: what an OpenAI chunk
// adds to the answer, or the data itself where it is something else. A line without text, such
// as a comment, an event's name or the closing [DONE], is "".
func ChunkText(line []byte) string {
	data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:"))
	data = bytes.TrimSpace(data)
	if !ok || string(data) == "[DONE]" {
		return ""
	}
	var c struct {
		Choices []struct {
			Text  *string
			Delta *struct{ Content string }
		}
	}
	if json.Unmarshal(data, &c) != nil || c.Choices == nil {
		return string(data) + "\n"
	}
	var b strings.Builder
	for _, x := range c.Choices {
		if x.Text != nil {
			b.WriteString(*x.Text)
		}
		if x.Delta != nil {
			b.WriteString(x.Delta.Content)
		}
	}
	return b.String()
}
