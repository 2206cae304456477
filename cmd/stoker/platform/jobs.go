package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/dispatch"
	"stoker.dev/stoker/cmd/stoker/webhook"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
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
	queues, err := p.queues()
	if err != nil {
		return err
	}
	p.submissions = records
	synced := &together{do: p.syncJobs}
	p.dispatch = dispatch.New(dispatch.Options{
		Records: durable[events.JobRecord]{records, synced.call}, State: state, Learned: durable[json.RawMessage]{learned, p.syncLearned}, Bus: p.bus, Ledger: p.ledger,
		Workflows: workflows.Client{Temporal: p.servers.TemporalClient()}, Provider: p.provider,
		Checkpoints: p.checkpoints(), Spending: p.spending, Spot: p.spending.Spot(), Shortage: func() int { return p.control.Shortage() }, Claims: &p.claims,
		Guaranteed: p.Config.Training, GiveBack: p.Config.GiveBack, Queues: queues, Webhooks: webhook.New(nil), Log: p.Log.With("part", "jobs"), Now: p.steady.Now,
	})
	return nil
}

// queues reads the file that the operator gave.
func (p *Platform) queues() (dispatch.Queues, error) {
	file := p.Config.Queues
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the queues of --queues (STOKER_QUEUES): %w", err)
	}
	return dispatch.ParseQueues(file, data, p.Config.Training)
}

func (p *Platform) syncJobs() error { return p.servers.Sync(events.BucketJobs) }

func (p *Platform) syncLearned() error { return p.servers.Sync(events.BucketLearned) }

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
		Checkpoints: p.checkpoints(), News: p.dispatch, Freed: p.lookAgain, Claims: &p.claims,
		Address: loopback, Port: p.rendezvous, Now: p.steady.Now,
	}
}

// checkpoints are on this machine where the ranks are, and on their volume where they are Pods.
func (p *Platform) checkpoints() *dispatch.Checkpoints {
	if p.Config.Provider == "kubernetes" {
		_, at := p.Config.Checkpoints()
		return &dispatch.Checkpoints{Root: at, Remote: true}
	}
	return &dispatch.Checkpoints{Root: p.dir.Jobs()}
}

// podPort is where the ranks of a gang find each other in Pods, which have every port to themselves: the one
// that torchrun takes by itself.
const podPort = 29500

// rendezvous is a port that is free on the node of rank 0.
func (p *Platform) rendezvous() (int, error) {
	if p.Config.Provider == "kubernetes" {
		return podPort, nil
	}
	return datadir.FreePort()
}

// lookAgain has functions decided again that wait for capacity. A worker may finish what a killed
// platform left before there is a controller, which then looks at everything anyway.
func (p *Platform) lookAgain() {
	if c := p.deciding.Load(); c != nil {
		c.LookAgain()
	}
}

// orders reach ranks by the broker, those of a simulated world directly: no agent of theirs listens.
func (p *Platform) orders() activities.Orders {
	if p.simulated != nil {
		return worldOrders{p.simulated}
	}
	return p.bus
}

// worldOrders gives orders to simulated ranks.
type worldOrders struct{ world *simulated.World }

// SendControl implements [activities.Orders].
func (o worldOrders) SendControl(_ context.Context, _ functions.Key, replica string, c events.Control) error {
	err := o.world.Order(replica, c)
	if errors.Is(err, activities.ErrNoReplica) {
		return fmt.Errorf("%w: %w", events.ErrNotFound, err)
	}
	return err
}

// Ask implements [activities.Orders]. The checkpoints of simulated ranks are on this machine.
func (o worldOrders) Ask(ctx context.Context, k functions.Key, replica string, c events.Control) (string, error) {
	return "", o.SendControl(ctx, k, replica, c)
}

// loopback is where every node is: the local provider has one, and it is this machine. Ranks in Pods hear
// at the barrier where the others are.
func loopback(string) string { return "127.0.0.1" }
