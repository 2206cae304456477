package platform

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
)

// lastAnswers is what callers get, once no replica works any more, to receive what was answered.
const lastAnswers = time.Second

// Stop drains and ends the platform: the gateway refuses new work, the controller decides
// nothing more, every replica finishes what it holds within the grace and goes, then the
// servers stop. Requests that wait stay stored and are taken up by the next start; their
// callers are told so.
func (p *Platform) Stop(ctx context.Context) error {
	p.dir.RemoveServer()
	drain, cancel := context.WithCancel(ctx)
	defer cancel()
	callers := make(chan error, 1)
	go func() { callers <- p.gateway.Drain(drain) }()
	p.control.Freeze()
	p.dispatch.Drain(ctx)
	err := p.drainReplicas(ctx)
	// Whoever waits now waits for a replica that will not come: nothing is in flight any more.
	late := time.AfterFunc(lastAnswers, cancel)
	defer late.Stop()
	if waiting := <-callers; waiting != nil {
		p.Log.Info("stopping", "callers", waiting)
	}
	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancelEnd()
	return errors.Join(err, p.close(end))
}

// drainReplicas asks every replica to finish and go, and waits until nothing is left of them. One
// whose start was under way when the controller froze is asked once it appears.
func (p *Platform) drainReplicas(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.Config.DrainGrace+killMargin)
	defer cancel()
	changes, err := p.provider.Watch(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(time.Second) // in case a change was missed
	defer tick.Stop()
	asked := map[string]bool{}
	for {
		alive, err := p.alive(ctx)
		if err != nil || len(alive) == 0 {
			return err
		}
		p.ask(ctx, alive, asked)
		select {
		case <-changes:
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d replica(s) still run after the grace; the next start takes care of them", len(alive))
		}
	}
}

// ask stops the replicas that were not asked before, all at once.
func (p *Platform) ask(ctx context.Context, alive []activities.ReplicaStatus, asked map[string]bool) {
	var wg sync.WaitGroup
	for _, s := range alive {
		if _, isRank := events.JobOfRank(s.Key); isRank || asked[s.ID] {
			continue // a rank was told by its job, which has a grace of its own
		}
		asked[s.ID] = true
		wg.Go(func() {
			if err := p.provider.Stop(ctx, s.ID, p.Config.DrainGrace); err != nil {
				p.Log.Warn("replica not stopped", "replica", s.ID, "error", err)
			}
		})
	}
	wg.Wait()
}

func (p *Platform) alive(ctx context.Context) ([]activities.ReplicaStatus, error) {
	all, err := p.provider.List(context.WithoutCancel(ctx))
	var out []activities.ReplicaStatus
	for _, s := range all {
		if s.State != activities.RunGone {
			out = append(out, s)
		}
	}
	return out, err
}
