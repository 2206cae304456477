package controller

import (
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

// Shortage is how many GPUs functions want and do not hold: those that they cannot have, and those that
// they are about to take. What jobs have borrowed of them is recalled for it, and nothing that is free
// is lent meanwhile.
func (c *Controller) Shortage() int { return int(c.short.Load()) }

// noteShortage keeps the sum of what functions go short of, and tells who lends when it changes.
func (c *Controller) noteShortage(f *function, d scale.Decision) {
	wanted := d.Target
	if d.Limit.ShortOfGPUs() {
		wanted = max(wanted, min(d.Wanted, d.Inputs.Max))
	}
	for _, r := range f.replicas {
		if workflows.PhaseRank(r.phase) < workflows.PhaseRank(workflows.PhaseDraining) {
			wanted--
		}
	}
	short := max(0, wanted) * f.spec.GPUs
	if short == f.short {
		return
	}
	c.short.Add(int64(short - f.short))
	f.short = short
	if c.OnShortage != nil {
		c.OnShortage()
	}
}
