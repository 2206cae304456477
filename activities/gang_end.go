package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// Notice asks a gang to go.
type Notice struct {
	GangRef
	KillAt time.Time          `json:"killAt"` // by the workflow's clock
	Grace  functions.Duration `json:"grace"`  // until then, when it was asked: clocks may disagree
}

// NoticeGang tells every rank why it has to go and by when, and the provider to see to that. An
// agent that cannot be reached hears it from its provider, without the reason.
func (a *Gangs) NoticeGang(ctx context.Context, n Notice) error {
	grace := n.Grace.D()
	c := events.Control{Op: events.OpNotice, Generation: n.Generation, Cause: n.Cause, GraceSeconds: grace.Seconds()}
	return n.each(ctx, func(ctx context.Context, rank int) error {
		id := n.RankID(rank)
		if err := a.Ledger.MarkDraining(ctx, id); err != nil && !errors.Is(err, scale.ErrUnknownHolder) {
			return fmt.Errorf("mark the lease of rank %s draining: %w", id, err)
		}
		_ = a.Orders.SendControl(ctx, events.RankKey(n.Key), id, c)
		if err := a.Provider.Stop(ctx, id, grace); err != nil {
			return fmt.Errorf("stop rank %s: %w", id, err)
		}
		return nil
	})
}

// GangKill ends a gang.
type GangKill struct {
	GangRef
	// Grace is for the agents to say how their rank has ended; 0: their word is not waited for.
	Grace functions.Duration `json:"grace,omitempty"`
}

// KillGang ends every process of a gang and returns the ranks that its provider knows nothing of: they
// never ran, and nobody else will say so.
func (a *Gangs) KillGang(ctx context.Context, g GangKill) ([]int, error) {
	err := g.each(ctx, func(ctx context.Context, rank int) error {
		if err := a.Provider.Stop(ctx, g.RankID(rank), g.Grace.D()); err != nil {
			return fmt.Errorf("kill rank %s: %w", g.RankID(rank), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	states, err := runStates(ctx, a.Provider)
	if err != nil {
		return nil, err
	}
	var never []int
	for rank := range g.Nodes {
		if _, known := states[g.RankID(rank)]; !known {
			never = append(never, rank)
		}
	}
	return never, nil
}

// ReleaseGang gives the GPUs of a gang back, once its provider says that nothing of it is left.
func (a *Gangs) ReleaseGang(ctx context.Context, g GangRef) error {
	err := g.each(ctx, func(ctx context.Context, rank int) error { // from here on a start that is late is refused
		if err := a.Provider.Stop(ctx, g.RankID(rank), 0); err != nil {
			return fmt.Errorf("stop rank %s: %w", g.RankID(rank), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	states, err := runStates(ctx, a.Provider)
	if err != nil {
		return err
	}
	for rank := range g.Nodes {
		if s, known := states[g.RankID(rank)]; known && s != RunGone {
			return fmt.Errorf("%w: rank %s is %s", ErrStillRunning, g.RankID(rank), s)
		}
	}
	err = g.each(ctx, func(ctx context.Context, rank int) error {
		id := g.RankID(rank)
		if err := a.Ledger.Release(ctx, id, g.Cause); err != nil && !errors.Is(err, scale.ErrUnknownHolder) {
			return fmt.Errorf("release the lease of rank %s: %w", id, err)
		}
		if err := a.Provider.Forget(ctx, id); err != nil {
			return fmt.Errorf("forget rank %s: %w", id, err)
		}
		return nil
	})
	if a.Freed != nil {
		a.Freed()
	}
	return err
}
