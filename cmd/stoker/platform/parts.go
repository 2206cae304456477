package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/activities/local"
	"stoker.dev/stoker/activities/nvml"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/cmd/stoker/binaries"
	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/gateway"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// agentName is the helper that runs beside every model server.
const agentName = "stoker-agent"

// defaultSlots is how many GPUs are simulated where there is no driver and none were asked for.
const defaultSlots = 1

// startProvider makes the world replicas run in.
func (p *Platform) startProvider(ctx context.Context) error {
	switch p.Config.Provider {
	case "simulated":
		p.simulated = p.world()
		p.provider = simulated.New(p.simulated)
		return nil
	case "kubernetes":
		return p.startKubernetes(ctx)
	}
	agent := p.Config.Agent
	if agent == "" {
		found, err := binaries.Find(ctx, agentName, p.Progress)
		if err != nil {
			return err
		}
		agent = found
	}
	gpus, err := p.gpus()
	if err != nil {
		return err
	}
	l, err := local.New(local.Options{
		Dir: p.dir.Replicas(), Secrets: filepath.Join(p.dir.Path(), "secrets"), AgentBinary: agent, GPUs: gpus,
		Logger: p.Log.With("part", "local"),
	})
	if err != nil {
		return err
	}
	p.provider = l
	p.onClose(func(context.Context) error { return l.Close() })
	return nil
}

// startKubernetes finds the cluster.
func (p *Platform) startKubernetes(ctx context.Context) error {
	client, namespace, err := kubernetes.Connect(p.Config.Kubeconfig)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("the name this platform goes by on the cluster: %w", err)
	}
	id, err := p.dir.ID()
	if err != nil {
		return err
	}
	o := p.Kubernetes
	o.Client, o.Namespace, o.Pool, o.PriorityClass = client, cmp.Or(p.Config.KubeNamespace, namespace), p.Config.Pool, p.Config.KubePriority
	o.Owner = host + ":" + p.dir.Path() + "#" + id // two machines may have one name, and one path
	o.Checkpoints.Claim, o.Checkpoints.Path = p.Config.Checkpoints()
	o.AgentImage, o.AgentNATS, o.Logger = p.Config.AgentImage, p.Config.AgentNATSURL, p.Log.With("part", "kubernetes")
	k, err := kubernetes.New(ctx, o)
	if err != nil {
		return err
	}
	p.provider = k
	p.onClose(func(context.Context) error { return k.Close() })
	return nil
}

func (p *Platform) wrapProvider(context.Context) error {
	if p.Wrap != nil {
		p.provider = p.Wrap(p.provider)
	}
	return nil
}

// world is what the simulated provider runs replicas in: they say over the broker how they are,
// as agents do, and serve nothing.
func (p *Platform) world() *simulated.World {
	var keys sync.Map // replica ID → functions.Key
	o := p.Simulated
	if o.GPUs == 0 {
		o.GPUs = p.Config.GPUs
	}
	started := o.OnStart
	o.OnStart = func(r activities.ReplicaSpec) {
		if started != nil {
			started(r)
		}
		keys.Store(r.ID, r.Key)
	}
	o.Beat = func(h events.Heartbeat) {
		k, ok := keys.Load(h.Replica)
		if !ok {
			return
		}
		if err := p.bus.Beat(k.(functions.Key), h); err != nil {
			p.Log.Debug("simulated heartbeat not sent", "replica", h.Replica, "error", err)
		}
		if h.Phase == events.PhaseExited {
			keys.Delete(h.Replica)
		}
	}
	return simulated.NewWorld(o)
}

// gpus are the driver's, or simulated ones: as many as asked for, or one where there is no
// driver, and then it says so.
func (p *Platform) gpus() (local.GPUs, error) {
	if p.Config.GPUs > 0 {
		return local.SimulatedGPUs(p.Config.GPUs), nil
	}
	lib, err := nvml.Open()
	if errors.Is(err, nvml.ErrNotAvailable) {
		p.Log.Info("no NVIDIA GPUs, simulating", "slots", defaultSlots, "reason", err)
		return local.SimulatedGPUs(defaultSlots), nil
	}
	if err != nil {
		return nil, err
	}
	p.onClose(func(context.Context) error { return lib.Close() })
	return lib, nil
}

// watchStorage begins to watch the disk. With a broker elsewhere nothing is stored here that a
// request needs; its operator watches it, and a write that fails there is an error of that write.
func (p *Platform) watchStorage(ctx context.Context) error {
	p.storage = &storage{
		dir: p.dir, mark: datadir.Watermark{Least: p.Config.Watermark()}, broker: p.servers, queues: p.bus, log: p.Log.With("part", "storage"),
	}
	if !p.servers.Embedded() {
		return nil
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { defer close(ended); p.storage.run(inner) }()
	p.onClose(func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

func (p *Platform) startGateway(ctx context.Context) error {
	p.gateway = gateway.New(gateway.Options{
		Bus: p.bus, Control: p.control, Jobs: p.dispatch, Keeper: p.keeper, Host: p.host, Secure: p.cert != nil, UI: p.servers.UI(), Ready: p.healthy, Refusal: p.storage.Refusal,
		Collectors: slices.Concat(p.control.Collectors(), p.storage.collectors(), p.collectors()), Log: p.Log.With("part", "gateway"), Now: p.Clock.Wall,
	})
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- p.gateway.Run(inner) }()
	p.onClose(func(context.Context) error { cancel(); return <-ended })
	select {
	case <-p.gateway.Listening():
	case err := <-ended:
		ended <- nil
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	h := p.gateway.Handler()
	p.callers.Store(p.gateway)
	p.handler.Store(&h)
	return nil
}
