package controller

import (
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/scale"
)

// poolEvery is how often what functions learned is put together: what a pool knows changes
// slowly, and the sum costs some microseconds per function.
const poolEvery = time.Minute

// pooled is what the functions that compete for GPUs learned together.
type pooled struct {
	habits *scale.Habits
	at     time.Time
}

// pool is what a function may learn from others; nil for one that needs no GPU: its replicas
// start and cost unlike theirs. The clock may have been set back.
func (c *Controller) pool(f *function, now time.Time) *scale.Habits {
	if f.spec.GPUs == 0 {
		return nil
	}
	if age := now.Sub(c.pooled.at); c.pooled.habits == nil || age < 0 || age >= poolEvery {
		c.pooled = pooled{habits: scale.PoolOf(c.habits()), at: now}
	}
	return c.pooled.habits
}

// habits are those of all functions that need GPUs, in the order of their names: sums of
// floating-point numbers depend on it.
func (c *Controller) habits() []*scale.Habits {
	var fns []*function
	for _, f := range c.fns {
		if f.spec.GPUs > 0 {
			fns = append(fns, f)
		}
	}
	slices.SortFunc(fns, func(a, b *function) int { return strings.Compare(a.key.String(), b.key.String()) })
	var all []*scale.Habits
	for _, f := range fns {
		all = append(all, &f.stored.State.Habits)
	}
	return all
}

// observation is what is known of a function, with what its pool learned, its budgets allow and
// others leave.
func (c *Controller) observation(f *function, s *scale.Stock, now time.Time) scale.Observation {
	obs := f.observation(s, now)
	obs.Pool, obs.Budget, obs.Share = c.pool(f, now), c.budget(f), c.share(f, s, now)
	return obs
}
