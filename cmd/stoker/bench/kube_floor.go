package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// createFloor is what creating a Pod takes by itself: the replicas' own, by the provider's client.
// n are created one after the other; atOnce together, rounds times. All are deleted again. On
// another provider there is none.
func (k *kube) createFloor(ctx context.Context, n, atOnce, rounds int) (floors, error) {
	if k == nil {
		return floors{}, nil
	}
	o := k.Options
	o.Pool += "-floor"
	bare, err := kubernetes.NewBare(o)
	if err != nil {
		return floors{}, err
	}
	f := &podFloor{bare: bare}
	var out floors
	if out.single, err = f.rounds(ctx, 1, n); err != nil || atOnce < 2 {
		return out, err
	}
	out.atOnce, err = f.rounds(ctx, atOnce, rounds)
	return out, err
}

// podFloor numbers the Pods it creates.
type podFloor struct {
	bare *kubernetes.Bare
	made int
}

func (f *podFloor) rounds(ctx context.Context, together, rounds int) ([]time.Duration, error) {
	var out []time.Duration
	for range rounds {
		took, err := f.round(ctx, together)
		if err != nil {
			return nil, fmt.Errorf("floor: %w", err)
		}
		out = append(out, took...)
	}
	return out, nil
}

// round creates Pods together and deletes those that were created.
func (f *podFloor) round(ctx context.Context, n int) ([]time.Duration, error) {
	specs := make([]activities.ReplicaSpec, n)
	for i := range specs {
		specs[i] = f.next()
	}
	took, errs := make([]time.Duration, n), make([]error, n)
	var wg sync.WaitGroup
	for i, r := range specs {
		wg.Go(func() {
			begin := time.Now()
			errs[i] = f.bare.Create(ctx, r)
			took[i] = time.Since(begin)
		})
	}
	wg.Wait()
	var g errgroup.Group
	for i, r := range specs {
		if errs[i] == nil {
			g.Go(func() error { return f.bare.Delete(context.WithoutCancel(ctx), r) })
		}
	}
	return took, errors.Join(errors.Join(errs...), g.Wait())
}

// next is a replica of a function as the benchmark deploys it, without a node.
func (f *podFloor) next() activities.ReplicaSpec {
	f.made++
	s := functions.Spec{Runtime: functions.Runtime{Image: noImage}, Resources: functions.Resources{GPUs: 1}}
	return activities.ReplicaSpec{
		ID: fmt.Sprintf("bench-floor-%d", f.made), Key: functions.Key{Namespace: "default", Name: "bench-floor"}, Spec: s, Lease: scale.Lease{Epoch: 1},
	}
}
