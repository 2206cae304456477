package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/workflows"
)

// TestManyFunctionsAreDeployedTogether spreads them over the shards as if they came one by one.
func TestManyFunctionsAreDeployedTogether(t *testing.T) {
	r := newRig(t)
	const n = 2*events.Shards + 3
	var fs []functions.Function
	for i := range n {
		fs = append(fs, r.manifest(fmt.Sprintf("f-%02d", i), ""))
	}
	for round, want := range []string{"created", unchanged} {
		out, err := r.Apply(t.Context(), fs, false)
		must(t, err)
		if len(out) != n {
			t.Fatalf("round %d: %d answers for %d functions", round, len(out), n)
		}
		for i, a := range out {
			if a.Action != want || a.Key != fs[i].Key() || a.Generation != 1 {
				t.Errorf("round %d: %+v, want %s %s", round, a, fs[i].Key(), want)
			}
		}
	}
	var perShard [events.Shards]int
	entries, err := r.fns.List(t.Context())
	must(t, err)
	for _, e := range entries {
		perShard[e.Value.Shard]++
	}
	for shard, have := range perShard {
		if have < n/events.Shards || have > n/events.Shards+1 {
			t.Errorf("%d functions on shard %d of %v", have, shard, perShard)
		}
	}
	for _, f := range fs {
		if _, err := r.bus.Publish(t.Context(), events.Event{Source: "test", Type: "t"}, f.Key(), functions.Batch); err != nil {
			t.Errorf("%s takes no requests: %v", f.Key(), err)
		}
	}
}

// TestDryRunTellsWhatChanges, and changes nothing.
func TestDryRunTellsWhatChanges(t *testing.T) {
	r := newRig(t)
	f := r.manifest("f", "")
	_, err := r.Apply(t.Context(), []functions.Function{f}, false)
	must(t, err)
	f.Spec.Scaling.Max, f.Spec.Scaling.Slots = f.Spec.Scaling.Max+1, f.Spec.Scaling.Slots+1
	for range 2 { // the first one changes nothing, or the second would find nothing
		out, err := r.Apply(t.Context(), []functions.Function{f}, true)
		must(t, err)
		if a := out[0]; a.Action != "configured" || !a.Rolls || len(a.Changes) != 2 || a.Changes[0].Path != "spec.scaling.max" || a.Changes[0].Rolls || !a.Changes[1].Rolls {
			t.Errorf("%+v", a)
		}
	}
	if out, err := r.Apply(t.Context(), []functions.Function{f}, false); err != nil || len(out[0].Changes) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := r.Apply(t.Context(), []functions.Function{f}, true); err != nil || out[0].Action != unchanged || len(out[0].Changes) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestWhatCameBeforeAFailureIsDeployed: another platform deployed the third one meanwhile.
func TestWhatCameBeforeAFailureIsDeployed(t *testing.T) {
	r := newRig(t)
	var fs []functions.Function
	for _, name := range []string{"a", "b", "c", "d"} {
		fs = append(fs, r.manifest(name, ""))
	}
	_, err := r.fns.Put(t.Context(), events.StateKey(fs[2].Key()), events.FunctionRecord{Function: fs[2], Generation: 7}, 0)
	must(t, err)
	out, err := r.Apply(t.Context(), fs, false)
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Code != 409 || len(out) != 2 {
		t.Fatalf("%d deployed, %v; want two, and the conflict", len(out), err)
	}
	for i, f := range fs {
		_, err := r.bus.Publish(t.Context(), events.Event{Source: "test", Type: "t"}, f.Key(), functions.Batch)
		if (err == nil) != (i < 2) {
			t.Errorf("publish to %s: %v", f.Key(), err)
		}
	}
	if out, err = r.Apply(t.Context(), fs, false); err != nil || len(out) != 4 || out[0].Action != unchanged || out[3].Action != "created" {
		t.Errorf("again: %+v, %v", out, err)
	}
}

// busy workflows take a sync only when they are let.
type busy struct {
	obedient
	begun, let chan functions.Key
}

func (b busy) Sync(ctx context.Context, s workflows.Sync) (workflows.Status, error) {
	b.begun <- s.Key
	select {
	case <-b.let:
		return b.obedient.Sync(ctx, s)
	case <-ctx.Done():
		return workflows.Status{}, ctx.Err()
	}
}

// TestManyNewFunctionsDoNotStandBeforeAWake: workflows of functions at rest are made a few at a
// time, and what somebody waits for does not wait for them.
func TestManyNewFunctionsDoNotStandBeforeAWake(t *testing.T) {
	const n = 4 * firstSyncsAtOnce
	b := busy{begun: make(chan functions.Key, 2*n), let: make(chan functions.Key)}
	r := newRigWith(t, b)
	var fs []functions.Function
	for i := range n {
		fs = append(fs, r.manifest(fmt.Sprintf("f-%02d", i), ""))
	}
	_, err := r.Apply(t.Context(), fs, false)
	must(t, err)
	begun := map[functions.Key]bool{}
	for range firstSyncsAtOnce {
		begun[<-b.begun] = true
	}
	woken := fs[0].Key()
	for _, f := range fs {
		if !begun[f.Key()] {
			woken = f.Key()
		}
	}
	_, err = r.bus.Publish(t.Context(), events.Event{Source: "test", Type: "t"}, woken, functions.Standard)
	must(t, err)
	if k := <-b.begun; k != woken { // any other would be one too many
		t.Fatalf("%s began while %d were under way, want the woken %s", k, firstSyncsAtOnce, woken)
	}
	close(b.let)
	for len(begun) < n-1 {
		begun[<-b.begun] = true
		delete(begun, woken)
	}
	r.until("all but the woken function at rest", func() bool {
		fns, err := r.List(t.Context(), "")
		must(t, err)
		resting := 0
		for _, f := range fns {
			if f.AtRest {
				resting++
			}
		}
		return resting == n-1
	})
}
