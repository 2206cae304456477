package controller

import (
	"context"
	"errors"
	"fmt"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// unchanged is what applying a manifest does that is there already.
const unchanged = "unchanged"

// applyPlan is what applying a manifest will write.
type applyPlan struct {
	key    functions.Key
	rec    events.FunctionRecord
	rev    uint64 // the record it replaces; 0: none
	answer api.Applied
}

// Apply deploys manifests: all of them are checked before the first is written. Where one cannot
// be written, those before it are deployed, and are in the answer beside the error.
func (c *Controller) Apply(ctx context.Context, fs []functions.Function, dryRun bool) ([]api.Applied, error) {
	var problems []error
	for _, f := range fs {
		problems = append(problems, c.admissible(f))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, &api.Error{Code: 422, Cause: "not-admissible", Message: err.Error()}
	}
	plans, err := c.planAll(ctx, fs)
	if err != nil {
		return nil, err
	}
	if !dryRun {
		plans, err = c.carryOut(ctx, plans)
	}
	var out []api.Applied
	for _, p := range plans {
		out = append(out, p.answer)
	}
	return out, err
}

// planAll looks at what is deployed once, for all manifests.
func (c *Controller) planAll(ctx context.Context, fs []functions.Function) ([]applyPlan, error) {
	var plans []applyPlan
	var refused error
	err := c.box.Call(ctx, func() {
		shards := c.shardCounts()
		for _, fn := range fs {
			p, err := c.plan(fn, shards)
			if err != nil {
				refused = err
				return
			}
			plans = append(plans, p)
		}
	})
	if err != nil {
		return nil, err // the loop may still be at it
	}
	return plans, refused
}

// plan counts a new function into its shard.
func (c *Controller) plan(fn functions.Function, shards []int) (applyPlan, error) {
	k := fn.Key()
	revision := functions.Revision(fn.Spec)
	p := applyPlan{
		key:    k,
		rec:    events.FunctionRecord{Function: fn, Generation: 1, Revision: revision, Applied: c.Now()},
		answer: api.Applied{Key: k, Action: "created", Generation: 1, Revision: revision},
	}
	old := c.fns[k]
	if old == nil {
		p.rec.Shard = events.PickShard(shards)
		shards[p.rec.Shard]++
		return p, nil
	}
	if old.rec.Deleting {
		return p, &api.Error{Code: 409, Cause: "deleting", Message: k.String() + " is being deleted", Hint: "apply again once `stoker get` no longer lists it"}
	}
	p.rev = old.recRev
	p.rec.Shard, p.rec.Paused, p.rec.Pinned = old.rec.Shard, old.rec.Paused, old.rec.Pinned
	p.rec.Generation = old.rec.Generation + 1
	p.answer.Action, p.answer.Generation, p.answer.Rolls = "configured", p.rec.Generation, revision != old.rec.Revision
	p.answer.Changes = functions.Diff(old.rec.Function, fn)
	if sameManifest(old.rec.Function, fn) {
		p.answer.Action, p.answer.Generation = unchanged, old.rec.Generation
	}
	return p, nil
}

// carryOut writes the records, opens the subjects and takes the functions into the loop. It
// returns what was deployed. What is stored is deployed whatever becomes of the caller.
func (c *Controller) carryOut(ctx context.Context, plans []applyPlan) ([]applyPlan, error) {
	var failure error
	for i := range plans {
		p := &plans[i]
		if p.answer.Action == unchanged {
			continue
		}
		if p.rev, failure = c.store(ctx, p.key, p.rec, p.rev); failure != nil {
			plans = plans[:i]
			break
		}
	}
	ctx = context.WithoutCancel(ctx)
	failure = errors.Join(failure, c.openSubjects(ctx, plans))
	called := c.box.Call(ctx, func() {
		for _, p := range plans {
			if p.answer.Action != unchanged {
				c.deployed(p.key, p.rec, p.rev)
			}
		}
	})
	if called != nil {
		return plans, called
	}
	for _, p := range plans {
		if p.answer.Action != unchanged {
			c.emit(p.key, "applied", p.answer)
		}
	}
	return plans, failure
}

// openSubjects lets the functions' requests in, shard by shard. For what is unchanged it is a
// no-op, unless the last apply was cut short.
func (c *Controller) openSubjects(ctx context.Context, plans []applyPlan) error {
	var shards [events.Shards][]functions.Key
	for _, p := range plans {
		shards[p.rec.Shard] = append(shards[p.rec.Shard], p.key)
	}
	var errs []error
	for shard, keys := range shards {
		if len(keys) == 0 {
			continue
		}
		if err := c.Bus.DeployAll(ctx, keys, shard); err != nil {
			errs = append(errs, fmt.Errorf("give %s and others their subjects: %w; apply again", keys[0], err))
		}
	}
	return errors.Join(errs...)
}
