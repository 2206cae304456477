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

// scaleWorld is a platform in this process, on simulated GPUs, and what stands in for agents and
// callers, on connections of their own: what the platform's connection receives is its alone.
type scaleWorld struct {
	o      ScaleOptions
	dir    string
	plat   *platform.Platform
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
	for _, step := range []func(context.Context) error{w.start, w.connect} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, w.close(context.WithoutCancel(ctx)))
		}
	}
	return w, nil
}

func (w *scaleWorld) start(ctx context.Context) (err error) {
	c := w.o.Config
	c.DataDir, c.Listen, c.RandomPorts, c.Provider, c.DrainGrace = filepath.Join(w.dir, "data"), "127.0.0.1:0", true, "simulated", time.Second
	gpus := max(w.o.Replicas, w.o.Functions*w.o.Each)
	w.plat, err = platform.Start(ctx, platform.Options{
		Config: c, Version: w.o.Version, Log: slog.New(slog.DiscardHandler), Progress: w.o.Progress,
		Simulated: simulated.Options{Nodes: 1 + gpus/simulatedGPUs, GPUs: simulatedGPUs, Seed: w.o.Seed, Fill: w.record.fill},
		Wrap:      func(p activities.Provider) activities.Provider { return &recorded{p, w.record} },
	})
	return err
}

func (w *scaleWorld) connect(ctx context.Context) (err error) {
	s := w.plat.Server()
	w.client = api.NewClient(s.HTTP, s.AdminToken, nil)
	w.probe = probe{url: s.HTTP, db: filepath.Join(w.dir, "data", "temporal.db"), bus: w.plat.Bus()}
	if w.record.bus, err = w.plat.Connect(ctx); err != nil {
		return err
	}
	w.caller, err = events.Connect(events.NATSAccess{URL: s.NATS}, events.ConnectOptions{Name: "stoker bench caller", Once: true})
	return err
}

func (w *scaleWorld) close(ctx context.Context) error {
	var err error
	if w.plat != nil {
		err = w.plat.Stop(ctx)
	}
	for _, b := range []*events.Bus{w.caller, w.record.bus} {
		if b != nil {
			b.Close()
		}
	}
	return errors.Join(err, os.RemoveAll(w.dir))
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
