package controller

import (
	"context"
	"io"
	"slices"
	"strings"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
	"stoker.dev/stoker/workflows"
)

var _ api.Control = (*Controller)(nil)

// List returns the functions of a namespace, or of all, by name.
func (c *Controller) List(ctx context.Context, namespace string) ([]api.Function, error) {
	out := []api.Function{}
	err := c.box.Call(ctx, func() {
		for k, f := range c.fns {
			if namespace == "" || k.Namespace == namespace {
				out = append(out, c.view(f))
			}
		}
	})
	if err != nil {
		return nil, err // the loop may still write to out
	}
	slices.SortFunc(out, func(a, b api.Function) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return out, nil
}

// Get returns one function with the number of its dead letters.
func (c *Controller) Get(ctx context.Context, k functions.Key) (api.Function, error) {
	out, err := c.look(ctx, k, c.view)
	if err != nil {
		return out, err
	}
	out.Dead, err = c.Bus.CountDead(ctx, k)
	return out, err
}

// look runs view in the loop.
func (c *Controller) look(ctx context.Context, k functions.Key, view func(*function) api.Function) (api.Function, error) {
	var out api.Function
	found := false
	err := c.box.Call(ctx, func() {
		if f := c.fns[k]; f != nil {
			out, found = view(f), true
		}
	})
	if err != nil {
		return api.Function{}, err // the loop may still write to out
	}
	if !found {
		return api.Function{}, notDeployed(k)
	}
	return out, nil
}

func (c *Controller) view(f *function) api.Function {
	last, spec := f.stored.State.Last, f.rec.Function.Spec
	out := api.Function{
		Key: f.key, Generation: f.rec.Generation, Revision: f.rec.Revision, Phase: last.Phase, Paused: f.rec.Paused,
		Pinned: f.rec.Pinned, Applied: f.rec.Applied, Target: last.Target, Min: spec.Scaling.Min, Max: spec.Scaling.Max,
		Slots: spec.Scaling.Slots, GPUs: spec.Resources.GPUs, Pending: f.waiting(), InFlight: f.inFlight(),
		Served: f.stored.Served, Failed: f.stored.Failed, Last: last, ColdStart: f.coldStart(), GPUSeconds: f.split(),
		Failure: f.stored.Failure, Budget: f.allowance.Text, Manifest: presentable(f.rec.Function), Workflow: workflows.FunctionWorkflowID(f.key),
	}
	if out.Phase == "" {
		out.Phase = scale.PhaseZero
	}
	out.AtRest = f.atRest()
	if f.wf != nil {
		out.Blocked, out.Trouble = f.wf.Blocked, f.wf.Trouble
	}
	for _, r := range f.sorted() {
		c.count(&out, r)
		out.Replicas = append(out.Replicas, r.view())
	}
	return out
}

// presentable is a manifest as anybody may see it who may look.
func presentable(f functions.Function) functions.Function {
	f.Spec = functions.Redact(f.Spec)
	return f
}

func (c *Controller) count(out *api.Function, r *replica) {
	switch r.scalePhase(c.Now()) {
	case scale.Ready:
		out.Ready++
	case scale.Silent:
		out.Silent++
	case scale.Starting:
		out.Starting++
	case scale.Draining:
		out.Draining++
	case scale.Gone:
	}
}

func (r *replica) view() api.Replica {
	return api.Replica{
		ID: r.id, Revision: r.revision, Phase: r.phase, Since: r.since, Node: r.node, Waits: r.waits, PID: r.beat.PID, ServerPID: r.beat.ServerPID,
		InFlight: r.beat.InFlight, Slots: r.beat.Slots, Served: r.beat.Totals.Served, LastBeat: r.beat.At, GPUs: r.beat.GPUs, Receipt: r.beat.Receipt,
	}
}

// Explain says why a function is as big as it is.
func (c *Controller) Explain(ctx context.Context, k functions.Key) (api.Explanation, error) {
	var out api.Explanation
	fn, err := c.look(ctx, k, func(f *function) api.Function {
		stock, now := c.room(), c.Now()
		out.Asked = scale.Question{Spec: f.spec, State: f.stored.State, Observation: c.observation(f, stock, now), Now: now}
		out.Lines = out.Asked.Answer().Lines
		out.Lines = append(out.Lines, f.budgetLines()...)
		out.Decisions = newestFirst(f.stored.State.Recent)
		out.Holders, out.FreeGPUs, out.Capacity = slices.Clone(stock.Holders()), f.free(stock), stock.Capacity()
		return c.view(f)
	})
	out.Function = fn
	return out, err
}

func newestFirst(ds []scale.Decision) []scale.Decision {
	out := slices.Clone(ds)
	slices.Reverse(out)
	return out
}

// Logs opens the output of a replica of the function, and of no other's: who may look at k may not
// look at all. Without a name it is the one that started last.
func (c *Controller) Logs(ctx context.Context, k functions.Key, replica string, o activities.LogOptions) (io.ReadCloser, error) {
	fn, err := c.look(ctx, k, c.view)
	if err != nil {
		return nil, err
	}
	if replica == "" {
		replica = newest(fn)
	}
	if replica == "" {
		return nil, &api.Error{Code: 404, Cause: "no-replica", Message: k.String() + " has no replica and none is remembered", Hint: "invoke it first: `stoker invoke " + k.String() + "`"}
	}
	o.Key = k
	return c.Provider.Logs(ctx, replica, o)
}

// newest is the replica that started last, or the one that failed last where none runs.
func newest(fn api.Function) string {
	id := ""
	if len(fn.Replicas) > 0 {
		id = slices.MaxFunc(fn.Replicas, func(a, b api.Replica) int { return a.Since.Compare(b.Since) }).ID
	} else if fn.Failure != nil {
		id = fn.Failure.Replica
	} else if fn.ColdStart != nil {
		id = fn.ColdStart.Replica
	}
	return id
}

// Platform tells the state of the whole.
func (c *Controller) Platform(ctx context.Context) (api.Platform, error) {
	out := c.Info()
	out.Provider = c.Provider.Name()
	l := c.Ledger.Snapshot()
	out.Capacity, out.Free = len(l.Devices), l.Free(nil, 0)
	out.Holders, out.Devices = l.Holders(), l.Devices
	for _, x := range l.Leases {
		if x.State != scale.Released {
			out.Leases = append(out.Leases, x)
		}
	}
	n := 0
	if err := c.box.Call(ctx, func() { n = len(c.fns) }); err != nil {
		return api.Platform{}, err // the loop may still write to n
	}
	out.Functions = n
	return out, nil
}

// Admission is asked once per synchronous request: memory only.
func (c *Controller) Admission(k functions.Key) (api.Admission, bool) {
	v, ok := c.admit.Load(k)
	if !ok {
		return api.Admission{}, false
	}
	return v.(api.Admission), true
}

// Refused counts a request that a gateway answered fail-fast: somebody asks, so a failing
// function is tried again after its backoff.
func (c *Controller) Refused(k functions.Key) {
	c.offer(func() {
		if f := c.fns[k]; f != nil {
			f.refused++
			c.evaluate(f)
		}
	})
}

// publishAdmission renews what gateways see of a function.
func (c *Controller) publishAdmission(f *function) {
	a := api.Admission{Spec: f.rec.Function.Spec, Shard: f.rec.Shard, Pending: f.waiting(), InFlight: f.inFlight(), Deleting: f.rec.Deleting}
	last := f.stored.State.Last
	if last.Phase == scale.PhaseFailing {
		a.Failing = f.stored.Failure
		a.RetryAfterSeconds = int(last.Inputs.BackoffSec) + 1
	}
	c.admit.Store(f.key, a)
}
