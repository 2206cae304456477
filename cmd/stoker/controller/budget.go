package controller

import (
	"context"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/spending"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/scale/cost"
)

// strains are the shares of a budget at which people are told, once each.
var strains = []float64{0.8, 1}

// topicBudget is the question that a line about a budget answers.
const topicBudget scale.Topic = "budget"

// budget is how many replicas a function's budgets allow; nil: no cap binds.
func (c *Controller) budget(f *function) *int {
	f.allowance = spending.Allowance{}
	if c.Spending != nil {
		f.allowance = c.Spending.Allowance(f.key, f.rec.Function.Spec)
	}
	return f.allowance.Replicas
}

// watchBudget tells the journal when a budget comes to its end.
func (c *Controller) watchBudget(f *function) {
	step := 0
	for step < len(strains) && f.allowance.Share >= strains[step] {
		step++
	}
	if step > f.strain {
		c.emit(f.key, "budget", map[string]any{"share": f.allowance.Share, "text": f.allowance.Text})
		c.Log.Warn("budget", "function", f.key.String(), "what", f.allowance.Text)
	}
	f.strain = step
}

// budgetLines say how a function stands with its budgets.
func (f *function) budgetLines() []scale.Line {
	if f.allowance.Text == "" {
		return nil
	}
	return []scale.Line{{Topic: topicBudget, Text: f.allowance.Text}}
}

// tell hands an agent's account on to the books.
func (c *Controller) tell(h events.Heartbeat) {
	if c.Spending != nil {
		c.Spending.Tell(h)
	}
}

func (c *Controller) forgetBudget(k functions.Key) {
	if c.Spending != nil {
		c.Spending.Forget(k)
	}
}

// Cost says where the GPU time since a moment went.
func (c *Controller) Cost(ctx context.Context, since time.Time, by cost.By, see func(namespace string) bool) (cost.Report, error) {
	if c.Spending == nil {
		return cost.Report{}, &api.Error{Code: 501, Cause: "no-meter", Message: "this platform keeps no books of GPU time"}
	}
	return c.Spending.Report(ctx, since, by, see)
}
