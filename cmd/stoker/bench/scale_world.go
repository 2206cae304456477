package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/platform"
	"stoker.dev/stoker/events"
)

// Limits of a step.
const (
	stepTimeout = 5 * time.Minute
	stepEvery   = 20 * time.Millisecond
	// simulatedGPUs is how many GPUs a simulated node has.
	simulatedGPUs = 8
)

// scaleWorld is a platform in this process, on simulated GPUs or a cluster, and what stands in for agents and
// callers, on connections of their own: what the platform's connection receives is its alone.
type scaleWorld struct {
	o      ScaleOptions
	dir    string
	plat   *platform.Platform
	kube   *kube     // on Kubernetes
	agents *standIns // there too
	client *api.Client
	caller *events.Bus
	record *record
	probe  probe
}

func openScaleWorld(ctx context.Context, o ScaleOptions) (*scaleWorld, error) {
	dir, err := os.MkdirTemp("", "stoker-bench-")
	if err != nil {
		return nil, err
	}
	w := &scaleWorld{o: o, dir: dir, record: newRecord()}
	w.record.now = o.Provider == providerSimulated
	for _, step := range []func(context.Context) error{w.start, w.connect} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, w.close(context.WithoutCancel(ctx)))
		}
	}
	return w, nil
}

func (w *scaleWorld) start(ctx context.Context) (err error) {
	w.o.Config = place(w.o.Config, w.o.Provider, filepath.Join(w.dir, "data"))
	if w.kube, err = openKube(&w.o.Config); err != nil {
		return err
	}
	gpus := max(w.o.Replicas, w.o.Functions*w.o.Each)
	w.plat, err = platform.Start(ctx, platform.Options{
		Config: w.o.Config, Version: w.o.Version, Log: slog.New(slog.DiscardHandler), Progress: w.o.Progress,
		Simulated:  simulated.Options{Nodes: 1 + gpus/simulatedGPUs, GPUs: simulatedGPUs, Seed: w.o.Seed, Fill: w.record.fill},
		Kubernetes: kubernetes.Options{Created: w.record.created},
		Wrap:       w.wrap,
	})
	return err
}

// wrap stands between the activities and the provider.
func (w *scaleWorld) wrap(p activities.Provider) activities.Provider {
	if w.kube != nil {
		w.agents = &standIns{
			Provider: p, bus: func() *events.Bus { return w.record.bus }, serve: w.record.runs, leave: w.record.quiet, gone: w.record.ended, fill: w.record.fill,
			agents: map[string]*standIn{},
		}
		p = w.agents
	}
	return &recorded{p, w.record}
}

func (w *scaleWorld) connect(ctx context.Context) (err error) {
	s := w.plat.Server()
	w.client = api.NewClient(s.HTTP, s.AdminToken, nil)
	w.probe = probe{url: s.HTTP, db: filepath.Join(w.dir, "data", "temporal.db"), bus: w.plat.Bus()}
	if w.record.bus, err = w.plat.Connect(ctx); err != nil {
		return err
	}
	if w.caller, err = events.Connect(events.NATSAccess{URL: s.NATS}, events.ConnectOptions{Name: "stoker bench caller", Once: true}); err != nil {
		return err
	}
	return w.agents.begin(ctx)
}

func (w *scaleWorld) close(ctx context.Context) error {
	err := w.agents.close()
	if w.plat != nil {
		err = errors.Join(err, w.plat.Stop(ctx))
	}
	for _, b := range []*events.Bus{w.caller, w.record.bus} {
		if b != nil {
			b.Close()
		}
	}
	return errors.Join(err, w.kube.close(ctx), os.RemoveAll(w.dir))
}

func (w *scaleWorld) apply(ctx context.Context, manifests []byte) error {
	_, err := w.client.Apply(ctx, "bench", manifests, false)
	return err
}

// await looks until done says so.
func (w *scaleWorld) await(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := pause(ctx, stepEvery); err != nil {
			return fmt.Errorf("not %s within %v: %w", what, stepTimeout, err)
		}
	}
}

// step begins a change of capacity, waits until it is done, and counts what it took.
func (w *scaleWorld) step(ctx context.Context, begin func(began time.Time) error, done func() (bool, error)) (StepReport, error) {
	before, err := w.probe.count(ctx)
	if err != nil {
		return StepReport{}, err
	}
	w.record.reset()
	began := time.Now()
	if err := begin(began); err != nil {
		return StepReport{}, err
	}
	if err := w.await(ctx, "done", done); err != nil {
		return StepReport{}, err
	}
	took := time.Since(began)
	after, err := w.probe.count(ctx)
	if err != nil {
		return StepReport{}, err
	}
	return w.record.report(began, took, before, after), nil
}
