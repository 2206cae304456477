package jobs

import "time"

// Plan is what should happen now. Applied in its order it never holds more GPUs than there are.
type Plan struct {
	Steps []Step `json:"steps,omitempty"` // preemptions, then admissions
	// Next is when to ask again even if no job comes or ends; zero: not before one does.
	Next time.Time `json:"next,omitzero"`
}

// Step changes one job.
type Step struct {
	Action Action `json:"action"`
	Index  int    `json:"index"` // of the job in the snapshot
	Job    string `json:"job"`   // its ID
	Reason Reason `json:"reason"`
	Inputs Inputs `json:"inputs"`
}

// Action is what is done to a job.
type Action string

// The actions.
const (
	Preempt Action = "preempt" // its GPUs go to others, and it waits again
	Admit   Action = "admit"   // it gets all its GPUs
)

// Inputs are what a step was computed from.
type Inputs struct {
	GPUs     int           `json:"gpus"`     // of the job
	Free     int           `json:"free"`     // in the pool before the step
	Score    float64       `json:"score"`    // the policy's, the least goes first
	Attained time.Duration `json:"attained"` // by the job, all attempts
	Waited   time.Duration `json:"waited"`   // by the job, in all
}

// Reason is why a step is taken; a closed set that [Reasons] lists.
type Reason string

// The reasons.
const (
	ReasonTurn      Reason = "turn"
	ReasonPass      Reason = "pass"
	ReasonAhead     Reason = "ahead"
	ReasonOverdue   Reason = "overdue"
	ReasonOutranked Reason = "outranked"
)

// meanings is the closed set, with a sentence for people.
var meanings = []struct {
	Reason  Reason
	Meaning string
}{
	{ReasonTurn, "admitted: it is its turn, and its GPUs are free"},
	{ReasonPass, "admitted: a job ahead of it does not fit, and this one does"},
	{ReasonAhead, "admitted: it is ahead of jobs that make room for it"},
	{ReasonOverdue, "admitted: it has waited for as long as a job may, and comes before all others"},
	{ReasonOutranked, "preempted: jobs ahead of it take its GPUs"},
}

// Reasons lists every reason. The caller owns the slice.
func Reasons() []Reason {
	out := make([]Reason, 0, len(meanings))
	for _, m := range meanings {
		out = append(out, m.Reason)
	}
	return out
}

// Meaning is one sentence for people; empty for a reason outside the set.
func (r Reason) Meaning() string {
	for _, m := range meanings {
		if m.Reason == r {
			return m.Meaning
		}
	}
	return ""
}
