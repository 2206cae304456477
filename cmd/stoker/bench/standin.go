package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// beatEvery is an agent's own pace.
const beatEvery = time.Second

// standIns play the agents of Pods on simulated nodes, where no container runs. They know of a Pod
// what the provider tells: once it runs, its agent is ready; once it is asked to go, it has gone.
type standIns struct {
	activities.Provider
	bus   func() *events.Bus // of the heartbeats
	serve func(context.Context, activities.ReplicaSpec) error
	leave func(id string)
	gone  func(id string)         // told of a replica that has ended; nil: nobody is
	fill  func(*events.Heartbeat) // nil: nothing is in flight

	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	agents map[string]*standIn
	errs   []error
}

// standIn is one agent.
type standIn struct {
	spec activities.ReplicaSpec
	end  context.CancelFunc // nil until its Pod runs
}

// begin follows the provider until close.
func (s *standIns) begin(ctx context.Context) error {
	if s == nil {
		return nil
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	news, err := s.Watch(ctx)
	if err != nil {
		return err
	}
	s.wg.Go(func() {
		for st := range news {
			s.told(ctx, st)
		}
	})
	return nil
}

// close ends all of them, and tells what kept one from serving.
func (s *standIns) close() error {
	if s == nil {
		return nil
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.wg.Wait()
	return errors.Join(s.errs...)
}

// Start makes the agent known before its Pod can be seen.
func (s *standIns) Start(ctx context.Context, r activities.ReplicaSpec) error {
	s.mu.Lock()
	if s.agents[r.ID] == nil {
		s.agents[r.ID] = &standIn{spec: r}
	}
	s.mu.Unlock()
	return s.Provider.Start(ctx, r)
}

func (s *standIns) told(ctx context.Context, st activities.ReplicaStatus) {
	if st.State == activities.RunGone && s.gone != nil {
		s.gone(st.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[st.ID]
	if a == nil {
		return
	}
	switch st.State {
	case activities.RunRunning:
		if a.end == nil {
			var living context.Context
			living, a.end = context.WithCancel(ctx)
			s.wg.Go(func() { s.live(living, a.spec) })
		}
	case activities.RunStopping, activities.RunGone:
		delete(s.agents, st.ID)
		if a.end != nil {
			a.end()
		}
	case activities.RunStarting, activities.RunUnknown: // it is not up yet, or as it was
	}
}

// live is an agent from the moment its Pod runs.
func (s *standIns) live(ctx context.Context, r activities.ReplicaSpec) {
	now := time.Now()
	h := events.Heartbeat{
		Replica: r.ID, Revision: r.Revision, Phase: events.PhaseReady, Slots: max(r.Spec.Scaling.Slots, 1),
		Receipt: events.Receipt{Demand: r.Agent.Receipt.Demand, Reserved: r.Agent.Receipt.Reserved, Spawned: now, Loading: now, Ready: now},
	}
	if err := s.serve(context.WithoutCancel(ctx), r); err != nil {
		s.fail(err)
		return
	}
	defer s.leave(r.ID)
	beats := time.NewTicker(beatEvery)
	defer beats.Stop()
	for ctx.Err() == nil {
		s.beat(r.Key, h)
		select {
		case <-beats.C:
		case <-ctx.Done():
		}
	}
	h.Phase, h.Cause = events.PhaseExited, events.CauseDrained
	s.beat(r.Key, h)
}

func (s *standIns) beat(k functions.Key, h events.Heartbeat) {
	h.At = time.Now()
	if s.fill != nil {
		s.fill(&h)
	}
	_ = s.bus().Beat(k, h) // one that is lost is followed by another
}

func (s *standIns) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}
