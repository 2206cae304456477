package jobs

import "time"

// Plan is what should happen now. Applied in its order it never holds more GPUs than there are.
type Plan struct {
	Steps []Step `json:"steps,omitempty"` // who gives GPUs up, then who gets some
	// Next is when to ask again even if no job comes or ends; zero: not before one does.
	Next time.Time `json:"next,omitzero"`
}

// Step changes one job.
type Step struct {
	Action Action `json:"action"`
	Index  int    `json:"index"` // of the job in the snapshot
	Job    string `json:"job"`   // its ID
	Reason Reason `json:"reason"`
	For    string `json:"for,omitempty"` // the ID of the job that gets what this one gives up; empty: no job
	// Later is set where the GPUs are still held by jobs that leave, those of this plan or of one
	// before. Who carries plans out waits until they have gone, and does what a plan then says.
	Later  bool      `json:"later,omitempty"`
	Ranks  int       `json:"ranks,omitempty"` // admit, resize: that it has then
	Nodes  []string  `json:"nodes,omitempty"` // admit, resize: one for each rank; none where the snapshot has none
	Lent   int       `json:"lent,omitempty"`  // admit: so many of its GPUs are a loan; extend: they stay one
	Until  time.Time `json:"until,omitzero"`  // admit, extend: when the loan is to be back
	KillAt time.Time `json:"killAt,omitzero"` // recall: who still holds them then is killed
	Inputs Inputs    `json:"inputs"`
}

// Action is what is done to a job.
type Action string

// The actions.
const (
	Preempt Action = "preempt" // its GPUs go to others, and it waits again
	Recall  Action = "recall"  // its GPUs go back to the lender, and it waits again
	Admit   Action = "admit"   // it gets all its GPUs
	Resize  Action = "resize"  // it leaves, and comes back at once with another number of ranks
	Extend  Action = "extend"  // its loan goes on, until another moment
	Redeem  Action = "redeem"  // its loan ends, since own GPUs are free in its place; it goes on
)

// Inputs are what a step was computed from.
type Inputs struct {
	GPUs     int           `json:"gpus"`     // of the job, after a resize its new ones
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
	ReasonLoan      Reason = "loan"
	ReasonWanted    Reason = "wanted"
	ReasonLoanOver  Reason = "loan-over"
	ReasonIdle      Reason = "idle"
	ReasonSmaller   Reason = "smaller"
	ReasonGoal      Reason = "goal"
	ReasonVanished  Reason = "vanished"
	ReasonBack      Reason = "back"
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
	{ReasonLoan, "on a loan: GPUs that are lent are idle for long enough"},
	{ReasonWanted, "recalled: the lender wants its GPUs back"},
	{ReasonLoanOver, "recalled: the loan is over, and the lender does not extend it"},
	{ReasonIdle, "own GPUs are free, and nobody waits for them"},
	{ReasonSmaller, "resized: jobs ahead of it need a part of its GPUs"},
	{ReasonGoal, "resized: its goal asks for another size"},
	{ReasonVanished, "preempted: there are fewer GPUs than are held"},
	{ReasonBack, "admitted: it has left only to come back with another size"},
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
