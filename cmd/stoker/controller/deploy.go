package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// admissible checks what the manifest alone cannot know: the pool, the provider, its GPUs.
func (c *Controller) admissible(f functions.Function) error {
	s := f.Spec
	if s.Placement.Pool != c.Pool {
		return fmt.Errorf("%s: spec.placement.pool: %q: no such pool; this platform has %q", f.Key(), s.Placement.Pool, c.Pool)
	}
	if s.Runtime.Local == nil && c.Provider.Name() == "local" {
		return fmt.Errorf("%s: spec.runtime.local.command: missing: the local provider runs no images; add the command that starts the model server", f.Key())
	}
	if s.Runtime.Image == "" && c.Provider.Name() == "kubernetes" {
		return fmt.Errorf("%s: spec.runtime.image: missing: on Kubernetes a replica runs an image; add the one with the model server", f.Key())
	}
	if n := largestNode(c.Ledger.Snapshot().Devices, s.Resources); s.Resources.GPUs > n {
		return fmt.Errorf("%s: spec.resources: %d GPU(s) of %v wanted on one node, the largest node here has %d that fit", f.Key(), s.Resources.GPUs, productsText(s.Resources.Products), n)
	}
	return nil
}

// largestNode is the most GPUs of the wanted kind that one node has, held or free: a replica's
// GPUs are on one node.
func largestNode(devices []scale.Device, want functions.Resources) int {
	perNode, most := map[string]int{}, 0
	for _, d := range devices {
		if d.Memory < want.GPUMem.Bytes() || (len(want.Products) > 0 && !slices.Contains(want.Products, d.Product)) {
			continue
		}
		perNode[d.Node]++
		most = max(most, perNode[d.Node])
	}
	return most
}

func productsText(p []string) any {
	if len(p) == 0 {
		return "any product"
	}
	return p
}

// write stores a function's record and takes it into the loop. Once the record is stored the
// rest happens whatever becomes of the caller: a record the loop does not know would refuse
// every later change.
func (c *Controller) write(ctx context.Context, k functions.Key, rec events.FunctionRecord, rev uint64) error {
	rev, err := c.store(ctx, k, rec, rev)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if !rec.Deleting {
		err = c.Bus.DeployAll(ctx, []functions.Key{k}, rec.Shard)
	}
	if called := c.box.Call(ctx, func() { c.deployed(k, rec, rev) }); called != nil {
		return called
	}
	if err != nil {
		return fmt.Errorf("give %s its subjects: %w; apply it again", k, err)
	}
	return nil
}

// store writes a function's record where it is still at the revision given, and returns the new
// one.
func (c *Controller) store(ctx context.Context, k functions.Key, rec events.FunctionRecord, rev uint64) (uint64, error) {
	rev, err := c.Functions.Put(ctx, events.StateKey(k), rec, rev)
	if err == nil {
		return rev, nil
	}
	c.refresh(context.WithoutCancel(ctx), k) // it may have been written before the answer was lost
	if errors.Is(err, events.ErrConflict) {
		return rev, &api.Error{Code: 409, Cause: "conflict", Message: k.String() + " was changed by someone else meanwhile", Hint: "try again"}
	}
	return rev, fmt.Errorf("write the record of %s: %w", k, err)
}

// refresh takes what is stored of a function into the loop, after a write that failed.
func (c *Controller) refresh(ctx context.Context, k functions.Key) {
	rec, rev, err := c.Functions.Get(ctx, events.StateKey(k))
	if err != nil {
		return // nothing stored, or out of reach: the next write tells
	}
	_ = c.box.Call(ctx, func() { c.deployed(k, rec, rev) })
}

func (c *Controller) shardCounts() []int {
	counts := make([]int, events.Shards)
	for _, f := range c.fns {
		counts[f.rec.Shard]++
	}
	return counts
}

// deployed takes a written record into the loop.
func (c *Controller) deployed(k functions.Key, rec events.FunctionRecord, rev uint64) {
	f := c.fns[k]
	if f == nil {
		f = newFunction(k)
		c.fns[k] = f
	}
	if rev < f.recRev {
		return // a newer one was taken in meanwhile
	}
	f.setRecord(rec, rev)
	c.evaluate(f)
}

// change writes a function's record with one thing changed.
func (c *Controller) change(ctx context.Context, k functions.Key, edit func(*events.FunctionRecord)) error {
	var rec events.FunctionRecord
	var rev uint64
	found := false
	err := c.box.Call(ctx, func() {
		if f := c.fns[k]; f != nil {
			rec, rev, found = f.rec, f.recRev, true
		}
	})
	if err != nil {
		return err
	}
	if !found {
		return notDeployed(k)
	}
	edit(&rec)
	return c.write(ctx, k, rec, rev)
}

func notDeployed(k functions.Key) error {
	return &api.Error{Code: 404, Cause: "not-found", Message: "function " + k.String() + " is not deployed", Hint: "`stoker get` lists what is; `stoker apply -f FILE` deploys"}
}

// Scale pins the number of replicas, or gives it back to demand.
func (c *Controller) Scale(ctx context.Context, k functions.Key, replicas *int) error {
	if replicas != nil && *replicas < 0 {
		return &api.Error{Code: 422, Cause: "bad-value", Message: fmt.Sprintf("replicas %d: must be 0 or more", *replicas)}
	}
	fn, err := c.look(ctx, k, c.view)
	if err != nil {
		return err
	}
	if replicas != nil && *replicas > fn.Max {
		return &api.Error{
			Code: 422, Cause: "bad-value", Message: fmt.Sprintf("replicas %d: %s allows 0 to %d (spec.scaling.max)", *replicas, k, fn.Max),
			Hint: "raise spec.scaling.max in its manifest and apply it",
		}
	}
	return c.change(ctx, k, func(r *events.FunctionRecord) { r.Pinned = replicas })
}

// Pause keeps a function's requests waiting and runs none, or resumes.
func (c *Controller) Pause(ctx context.Context, k functions.Key, paused bool) error {
	return c.change(ctx, k, func(r *events.FunctionRecord) { r.Paused = paused })
}

// Delete begins the end of a function: what is in flight finishes, what waits ends in a record
// with cause function-deleted, then its subjects, records of scaling and workflow go.
func (c *Controller) Delete(ctx context.Context, k functions.Key) error {
	shard := 0
	err := c.change(ctx, k, func(r *events.FunctionRecord) { r.Deleting, shard = true, r.Shard })
	if err != nil {
		return err
	}
	c.emit(k, "deleting", nil)
	_, err = c.Bus.Retire(ctx, k, shard)
	return err
}

// finishDelete removes a function that is being deleted once its workflow has nothing left. It
// is looked at after everything that could have held it up, so none of that can leave it behind.
func (c *Controller) finishDelete(f *function) {
	ended := f.rec.Deleting && f.wf != nil && !f.wf.Open && len(f.wf.Replicas) == 0 && len(f.replicas) == 0
	if ended && !f.syncing && !f.deleted && !f.reaping && !c.Now().Before(f.retryAt) {
		c.remove(f)
	}
}

// remove takes away what is left of a deleted function: requests that wait, its subjects, its
// records of scaling.
func (c *Controller) remove(f *function) {
	f.deleted = true
	c.unlisten(f)
	job, recRev, storRev := f.reapJob(), f.recRev, f.storRev
	c.box.Outside(func(ctx context.Context) {
		err := c.erase(ctx, job, recRev, storRev)
		c.box.Post(func() {
			if err != nil {
				f.deleted = false
				c.backOff(f, fmt.Errorf("remove %s: %w", f.key, err))
				return
			}
			c.noteShortage(f, scale.Decision{})
			delete(c.fns, f.key)
			c.admit.Delete(f.key)
			c.shown.Delete(f.key)
			c.forgetBudget(f.key)
		})
	})
}

// erase ends every request that is still stored, then deletes. The broker has refused new ones
// since the function was retired.
func (c *Controller) erase(ctx context.Context, job *reapJob, recRev, storRev uint64) error {
	for {
		left, err := c.Bus.Retire(ctx, job.key, job.shard)
		if err != nil {
			return err
		}
		if left == 0 {
			break
		}
		job.counts = map[functions.Class]int{functions.Interactive: left, functions.Standard: left, functions.Batch: left}
		if _, err := job.run(ctx, c); err != nil {
			return err
		}
	}
	if err := c.Bus.Undeploy(ctx, job.key, job.shard); err != nil {
		return err
	}
	key := events.StateKey(job.key)
	err := errors.Join(c.State.Delete(ctx, key, storRev), c.Functions.Delete(ctx, key, recRev))
	if err == nil {
		c.emit(job.key, "deleted", nil)
	}
	return err
}

// sameManifest compares two manifests by what they say.
func sameManifest(a, b functions.Function) bool { return reflect.DeepEqual(a, b) }
