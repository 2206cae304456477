package scale

import "time"

// Topic is the question a line answers.
type Topic string

// The questions Explain answers.
const (
	TopicNow     Topic = "now"
	TopicBigger  Topic = "not bigger"
	TopicSmaller Topic = "not smaller"
	TopicNext    Topic = "next"
)

// Line is one sentence of an explanation.
type Line struct {
	Topic  Topic  `json:"topic"`
	Reason Reason `json:"reason,omitempty"`
	Text   string `json:"text"`
}

// Explain says in sentences what runs and why it is not bigger or smaller right now.
func Explain(spec Spec, s State, obs Observation, now time.Time) []Line { return nil }
