package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// shareEvery is how often GPUs that are short are divided anew: the pace of heartbeats.
const shareEvery = time.Second

// divided is what functions are due while GPUs are short.
type divided struct {
	at time.Time
	of map[functions.Key]int // replicas; who is not in it is not bounded
}

// share is how many replicas a function is due; nil while GPUs are not short, and for one that
// needs none. The clock may have been set back.
func (c *Controller) share(f *function, s *scale.Stock, now time.Time) *int {
	if f.spec.GPUs == 0 {
		return nil
	}
	if age := now.Sub(c.divided.at); age < 0 || age >= shareEvery {
		c.divide(s, now)
	}
	if n, bounded := c.divided.of[f.key]; bounded {
		return &n
	}
	return nil
}

// divide divides the GPUs of each kind for which a function goes short among all functions that
// ask for the same kind. Those who now are due less than they have, or something else while they
// go short, are looked at at once.
func (c *Controller) divide(s *scale.Stock, now time.Time) {
	if len(c.divided.of) == 0 && !c.anyLacksGPUs() { // as nearly always: nothing was divided, nothing is to be
		c.divided.at = now
		return
	}
	kinds, short := c.kinds()
	of := map[functions.Key]int{}
	for _, kind := range short {
		fns := kinds[kind]
		claims := make([]scale.Claim, len(fns))
		ask := activities.AskFor(fns[0].key, fns[0].rec.Function.Spec, "")
		ask.GPUs = 1
		owners := map[string]bool{}
		for i, f := range fns {
			claims[i] = f.claim(now)
			owners[activities.AskFor(f.key, f.rec.Function.Spec, "").Owner] = true
		}
		gpus := s.Fit(ask)
		for _, h := range s.Holders() { // by the ledger: a replica that starts or ends has its GPUs before and after we see it
			if owners[h.Who] {
				gpus += h.GPUs
			}
		}
		for i, n := range scale.Shares(gpus, claims) {
			of[fns[i].key] = n
		}
	}
	before := c.divided.of
	c.divided = divided{at: now, of: of}
	for _, fns := range kinds {
		for _, f := range fns {
			was, wasBounded := before[f.key]
			n, bounded := of[f.key]
			if (was != n || wasBounded != bounded) && (f.lacksGPUs() || bounded && f.claim(now).Have > n) {
				f.nextAt = now
			}
		}
	}
}

// kinds are the functions by the GPUs they ask for, in the order of their names, and the kinds
// of which there are too few.
func (c *Controller) kinds() (of map[string][]*function, short []string) {
	of = map[string][]*function{}
	for _, f := range c.fns {
		if f.spec.GPUs > 0 {
			ask := activities.AskFor(f.key, f.rec.Function.Spec, "")
			kind := fmt.Sprintf("%d %q", ask.Memory, ask.Products)
			of[kind] = append(of[kind], f)
		}
	}
	for kind, fns := range of {
		slices.SortFunc(fns, func(a, b *function) int { return strings.Compare(a.key.String(), b.key.String()) })
		if slices.ContainsFunc(fns, (*function).lacksGPUs) {
			short = append(short, kind)
		}
	}
	return of, short
}

func (c *Controller) anyLacksGPUs() bool {
	for _, f := range c.fns {
		if f.spec.GPUs > 0 && f.lacksGPUs() {
			return true
		}
	}
	return false
}

// lacksGPUs is whether the last decision was held back for want of GPUs.
func (f *function) lacksGPUs() bool { return f.stored.State.Last.Limit.ShortOfGPUs() }

// claim is what the function asks of GPUs that are short.
func (f *function) claim(now time.Time) scale.Claim {
	claim := scale.ClaimOf(f.key.String(), f.spec, f.stored.State, now)
	for _, r := range f.replicas {
		switch phase := r.scalePhase(now); {
		case phase == scale.Gone || phase == scale.Draining || slices.Contains(f.stored.State.Last.Victims, r.id):
		case phase == scale.Silent:
			claim.Silent++
			claim.Have++
		default:
			claim.Have++
		}
	}
	return claim
}
