package bench

import (
	"context"
	"time"

	"stoker.dev/stoker/activities"
)

// timed takes the time at which the provider's start call is entered, and gives each replica an
// answerer for as long as it lives, where nothing else gives it one.
type timed struct {
	activities.Provider
	z *zero
}

// Start notes the time first of all.
func (t *timed) Start(ctx context.Context, r activities.ReplicaSpec) error {
	t.z.started.note(r.Key)
	if err := t.Provider.Start(ctx, r); err != nil || t.z.Provider != providerSimulated {
		return err // what answers is there once the replica is
	}
	return t.z.serve(context.WithoutCancel(ctx), r)
}

// Stop ends the answerer, then the replica.
func (t *timed) Stop(ctx context.Context, id string, grace time.Duration) error {
	t.z.unserve(id)
	return t.Provider.Stop(ctx, id, grace)
}

func (z *zero) serve(ctx context.Context, r activities.ReplicaSpec) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.workers[r.ID] != nil {
		return nil
	}
	a, err := answer(ctx, z.plat.Bus(), r.Key, r.ID, r.Agent.Stream, nil)
	if err != nil {
		return err
	}
	z.workers[r.ID] = a
	return nil
}

func (z *zero) unserve(id string) {
	z.mu.Lock()
	a := z.workers[id]
	delete(z.workers, id)
	z.mu.Unlock()
	if a != nil {
		a.close()
	}
}
