package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/dispatch"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/workflows"
)

// makeDispatcher makes what carries training jobs. It runs once there are a worker, which tells it news,
// and a controller, which knows what inference goes short of.
func (p *Platform) makeDispatcher(ctx context.Context) error {
	records, err := events.OpenStore[events.JobRecord](ctx, p.bus, events.BucketJobs)
	if err != nil {
		return err
	}
	state, err := events.OpenStore[dispatch.Stored](ctx, p.bus, events.BucketJobState)
	if err != nil {
		return err
	}
	learned, err := events.OpenStore[json.RawMessage](ctx, p.bus, events.BucketLearned)
	if err != nil {
		return err
	}
	p.submissions = records
	p.dispatch = dispatch.New(dispatch.Options{
		Records: durable[events.JobRecord]{records, p.syncJobs}, State: state, Learned: learned, Bus: p.bus, Ledger: p.ledger,
		Workflows: workflows.Client{Temporal: p.servers.TemporalClient()}, Provider: p.provider,
		Checkpoints: &dispatch.Checkpoints{Root: p.dir.Jobs()}, Shortage: func() int { return p.control.Shortage() },
		Guaranteed: p.Config.Training, Log: p.Log.With("part", "jobs"), Now: p.steady.Now,
	})
	return nil
}

func (p *Platform) syncJobs() error { return p.servers.Sync(events.BucketJobs) }

func (p *Platform) startDispatcher(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- p.dispatch.Run(inner) }()
	p.onClose(func(context.Context) error { cancel(); return <-ended })
	select {
	case <-p.dispatch.Ready():
		p.background(ctx, func(ctx context.Context) {
			if err := p.bus.OnSubmission(ctx, p.dispatch.Take); err != nil && ctx.Err() == nil {
				p.failed <- fmt.Errorf("take submissions of training jobs: %w", err)
			}
		})
		return nil
	case err := <-ended:
		ended <- nil
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gangs are the activities of training jobs.
func (p *Platform) gangs() *activities.Gangs {
	return &activities.Gangs{
		Provider: p.provider, Ledger: p.ledger, Orders: p.orders(), Access: minter{p.servers}, Jobs: p.submissions,
		Checkpoints: &dispatch.Checkpoints{Root: p.dir.Jobs()}, News: p.dispatch, Freed: func() { p.control.LookAgain() },
		Address: loopback, Port: freePort, Now: p.steady.Now,
	}
}

// orders reach ranks by the broker.
func (p *Platform) orders() activities.Orders { return p.bus }

// loopback is where every node is: the local provider has one, and it is this machine.
func loopback(string) string { return "127.0.0.1" }

// freePort is one that nobody listens on now. Whoever needs it binds it in a moment; should another be
// faster, the gang fails to meet and is tried again with the next.
func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // 2026-11-28: a TCP listener has no other address
	return port, l.Close()
}
