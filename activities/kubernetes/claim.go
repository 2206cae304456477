package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stoker.dev/stoker/activities"
)

// A pool is one platform's: two would each stop the other's Pods as nobody's.
const (
	// claimRenew is the pace at which a platform says that it lives.
	claimRenew = 5 * time.Second
	// claimSilence is how long it may say nothing until another takes its pool: two renewals may fail.
	claimSilence = 15 * time.Second
	// claimTrust is how long a renewal may lie back for this platform to act on it: the rest of
	// claimSilence is for what it has begun by then, which is over within callTimeout.
	claimTrust = claimSilence - callTimeout - time.Second
	// claimLook is the pause between two looks at somebody else's claim, and between two tries to
	// renew the own one.
	claimLook = 500 * time.Millisecond
)

// claim is a Lease object that names whose a pool is. What runs is nobody's but the holder's to adopt
// or to stop.
type claim struct {
	o       Options
	lost    atomic.Pointer[error]
	trouble atomic.Pointer[error]     // why it was not renewed, the last time that it was not
	renewed atomic.Pointer[time.Time] // when the last renewal that went through was begun; monotonic
}

func (c *claim) name() string { return "stoker-" + c.o.Pool }

// err is why this platform may not act, nil while it may. One that was cut off, or stood still, does
// not know whether another one has its pool by now, and finds out first.
func (c *claim) err() error {
	if p := c.lost.Load(); p != nil {
		return *p
	}
	if c.fresh() {
		return nil
	}
	what := fmt.Sprintf("the claim on pool %s could not be renewed for %v", c.o.Pool, claimTrust)
	switch p := c.trouble.Load(); {
	case p == nil: // the platform stood still
		return fmt.Errorf("%w: %s", activities.ErrNotNow, what)
	case neverSent(*p):
		return fmt.Errorf("%w: the API server is away: %s: %w", activities.ErrNotNow, what, *p)
	default:
		return fmt.Errorf("%w: %s: %w", activities.ErrNotNow, what, *p)
	}
}

func (c *claim) fresh() bool {
	at := c.renewed.Load()
	return c.o.Owner == "" || at != nil && time.Since(*at) < claimTrust
}

// take makes the pool this platform's. A claim of another one is watched: one that is renewed is
// alive, and [ErrPoolTaken]; one that is not is over. No clock of another machine is compared.
func (c *claim) take(ctx context.Context) error {
	if c.o.Owner == "" {
		return nil
	}
	var first *coordinationv1.Lease
	since := time.Now()
	for {
		var over *coordinationv1.Lease
		if first != nil && time.Since(since) >= claimSilence {
			over = first
		}
		lease, err := c.tryTake(ctx, over)
		switch {
		case err != nil || lease == nil:
			return err
		case !c.others(lease): // somebody wrote to it meanwhile
		case first == nil:
			first = lease
			c.o.Logger.Info("the pool is another platform's; waiting whether it still lives", "pool", c.o.Pool, "holder", holderOf(lease))
		case lease.ResourceVersion != first.ResourceVersion:
			return c.taken(lease)
		}
		select {
		case <-time.After(claimLook):
		case <-ctx.Done():
			return fmt.Errorf("claim pool %s: %w", c.o.Pool, ctx.Err())
		}
	}
}

// tryTake takes the claim if it is free, ours, or still as it was when it was found over. Otherwise
// it returns it as it is.
func (c *claim) tryTake(ctx context.Context, over *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	begun := time.Now()
	leases := c.o.Client.CoordinationV1().Leases(c.o.Namespace)
	lease, err := c.look(ctx)
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, c.filled(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Name: c.name(), Labels: map[string]string{LabelPool: c.o.Pool},
		}}), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // somebody was faster
			return c.look(ctx)
		}
		return nil, c.took(begun, err)
	}
	if err != nil {
		return nil, err
	}
	silent := over != nil && over.ResourceVersion == lease.ResourceVersion
	if c.others(lease) && !silent {
		return lease, nil
	}
	_, err = leases.Update(ctx, c.filled(lease.DeepCopy()), metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return c.look(ctx)
	}
	return nil, c.took(begun, err)
}

// look is the claim as it is; nil beside an error.
func (c *claim) look(ctx context.Context) (*coordinationv1.Lease, error) {
	lease, err := c.o.Client.CoordinationV1().Leases(c.o.Namespace).Get(ctx, c.name(), metav1.GetOptions{})
	if err != nil {
		return nil, c.wrap(err) // the client returns an object then, too, which is nobody's
	}
	return lease, nil
}

// others tells whether a claim is another platform's.
func (c *claim) others(l *coordinationv1.Lease) bool {
	who := holderOf(l)
	return who != "" && who != c.o.Owner
}

// took notes that the claim was renewed, unless it failed.
func (c *claim) took(begun time.Time, err error) error {
	if err == nil {
		c.renewed.Store(&begun)
	} else {
		c.trouble.Store(&err)
	}
	return c.wrap(err)
}

func (c *claim) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("claim pool %s with Lease %s/%s: %w", c.o.Pool, c.o.Namespace, c.name(), err)
}

func (c *claim) filled(l *coordinationv1.Lease) *coordinationv1.Lease {
	l.Spec.HolderIdentity, l.Spec.RenewTime = &c.o.Owner, new(metav1.NowMicro())
	l.Spec.LeaseDurationSeconds = new(int32(claimSilence / time.Second))
	return l
}

func holderOf(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

func (c *claim) taken(l *coordinationv1.Lease) error {
	return fmt.Errorf("%w: %q belongs to the one at %s (Lease %s/%s); stop that one, or give this one another pool with --pool",
		ErrPoolTaken, c.o.Pool, holderOf(l), c.o.Namespace, c.name())
}

// run renews the claim until ctx ends or somebody else has it.
func (c *claim) run(ctx context.Context) {
	if c.o.Owner == "" {
		return
	}
	for c.lost.Load() == nil {
		pace := claimRenew
		if !c.fresh() {
			pace = claimLook
		}
		select {
		case <-time.After(pace):
		case <-ctx.Done():
			return
		}
		c.renew(ctx)
	}
}

func (c *claim) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if c.stillOurs(ctx) == nil {
		return
	}
	lease, err := c.tryTake(ctx, nil)
	if lease != nil && c.others(lease) {
		err := c.taken(lease)
		c.lost.Store(&err)
		c.o.Logger.Error("another platform has this one's pool; nothing is started or stopped here any more", "error", err)
		return
	}
	if err != nil && ctx.Err() == nil {
		c.o.Logger.Warn("the claim on the pool is not renewed, trying again", "error", err)
	}
}

// stillOurs renews a claim that is still this platform's, which the API server itself looks at as it
// writes: whatever else is written to the object meanwhile, nothing conflicts.
func (c *claim) stillOurs(ctx context.Context) error {
	begun := time.Now()
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/spec/holderIdentity", "value": c.o.Owner},
		{"op": "replace", "path": "/spec/renewTime", "value": metav1.NewMicroTime(begun)},
	})
	if err != nil {
		return err
	}
	_, err = c.o.Client.CoordinationV1().Leases(c.o.Namespace).Patch(ctx, c.name(), types.JSONPatchType, patch, metav1.PatchOptions{})
	return c.took(begun, err)
}

// release gives the pool away, so that another platform need not wait.
func (c *claim) release() {
	if c.o.Owner == "" || c.lost.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	leases := c.o.Client.CoordinationV1().Leases(c.o.Namespace)
	lease, err := leases.Get(ctx, c.name(), metav1.GetOptions{})
	if err == nil && holderOf(lease) == c.o.Owner {
		lease.Spec.HolderIdentity = nil
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		c.o.Logger.Warn("the claim on the pool is not released; it runs out by itself", "error", err)
	}
}
