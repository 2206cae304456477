package scale

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Recorded is one decision with all that it was made of, as a platform keeps it: what the simulator and a
// reader decide of the same question must be the same.
type Recorded struct {
	Function string `json:"function"` // namespace/name
	Question
	Decision Decision `json:"decision"`
}

// Again decides anew and tells whether the result is what was recorded. Both are compared as they are
// written, since that is what is kept.
func (r Recorded) Again() (Decision, bool, error) {
	_, d := Decide(r.Spec, r.State, r.Observation, r.Now)
	then, err := json.Marshal(r.Decision)
	if err != nil {
		return d, false, fmt.Errorf("the recorded decision: %w", err)
	}
	now, err := json.Marshal(d)
	if err != nil {
		return d, false, fmt.Errorf("the decision made anew: %w", err)
	}
	return d, bytes.Equal(then, now), nil
}
