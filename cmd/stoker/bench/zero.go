package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/kubernetes"
	"stoker.dev/stoker/activities/simulated"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/config"
	"stoker.dev/stoker/cmd/stoker/platform"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Limits of the zero benchmark.
const (
	settleTimeout = 2 * time.Minute // for all functions to be at rest again
	answerTimeout = time.Minute     // for one round to be answered; later ones are lost
	settleEvery   = 20 * time.Millisecond
	minFloor      = 100 // samples of the floor
)

// ZeroOptions of one measurement.
type ZeroOptions struct {
	Functions int
	Wakes     int    // at least so many
	AtOnce    bool   // all functions in one moment; otherwise one at a time, at random moments
	Provider  string // simulated; local: with agents and model servers as processes; kubernetes: Pods on simulated nodes
	Self      string // this program, which plays the model server
	Seed      uint64
	Config    config.Config
	Version   string
	Progress  io.Writer
}

// ZeroReport is what `stoker bench zero --json` prints.
type ZeroReport struct {
	Functions     int       `json:"functions"`
	At            string    `json:"at"` // once or random
	Wakes         int       `json:"wakes"`
	EventToStart  Quantiles `json:"event_to_start_ms"`
	EventToPod    Quantiles `json:"event_to_pod_ms,omitzero"` // to the return of the API server's create call; on Kubernetes
	EventToAnswer Quantiles `json:"event_to_answer_ms"`
	UpdateFloor   Quantiles `json:"update_floor_ms"`
	FloorSamples  int       `json:"floor_samples"`                    // of each floor, but at once
	FloorAtOnce   Quantiles `json:"update_floor_at_once_ms,omitzero"` // as many at once as functions; zero when one woke at a time
	CreateFloor   Quantiles `json:"create_floor_ms,omitzero"`         // a Pod created directly, by the provider's client; on Kubernetes
	CreateAtOnce  Quantiles `json:"create_floor_at_once_ms,omitzero"` // as many at once as functions
	Answered      int       `json:"answered"`
	Lost          int       `json:"lost"`
	Provider      string    `json:"provider"`
	LoadAverage   string    `json:"load_average"`
}

// zero is a measurement under way.
type zero struct {
	ZeroOptions
	plat    *platform.Platform
	kube    *kube     // on Kubernetes
	agents  *standIns // there too
	client  *api.Client
	keys    []functions.Key
	started moments // the entry of the provider's start call
	created moments // the return of the API server's create call

	mu      sync.Mutex
	workers map[string]*answerer // by replica
	starts  []time.Duration
	pods    []time.Duration
	answers []time.Duration
	lost    int
}

// Zero measures waking from zero: from just before the publish call to the entry of the
// provider's start call, and to the terminal record. On the simulated provider an answerer stands
// in for the agent, on Kubernetes once the Pod runs; on the local one agent and model server are
// real, and each function has a simulated GPU.
func Zero(ctx context.Context, o ZeroOptions) (rep ZeroReport, err error) {
	dir, err := os.MkdirTemp("", "stoker-bench-")
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.Config = place(o.Config, o.Provider, dir)
	o.Config.GPUs = 0
	if o.Provider == providerLocal {
		o.Config.GPUs = o.Functions
	}
	z := &zero{workers: map[string]*answerer{}}
	if z.kube, err = openKube(&o.Config); err != nil {
		return rep, err
	}
	z.ZeroOptions = o
	defer func() { err = errors.Join(err, z.close(context.WithoutCancel(ctx))) }()
	z.plat, err = platform.Start(ctx, platform.Options{
		Config: o.Config, Version: o.Version, Log: slog.New(slog.DiscardHandler), Progress: o.Progress,
		Simulated:  simulated.Options{Nodes: 1 + o.Functions/8, GPUs: 8, Seed: o.Seed},
		Kubernetes: kubernetes.Options{Created: func(r activities.ReplicaSpec) { z.created.note(r.Key) }},
		Wrap:       z.wrap,
	})
	if err != nil {
		return rep, err
	}
	if err := z.agents.begin(ctx); err != nil {
		return rep, err
	}
	return z.measure(ctx)
}

// wrap stands between the activities and the provider.
func (z *zero) wrap(p activities.Provider) activities.Provider {
	if z.kube != nil {
		z.agents = &standIns{Provider: p, bus: z.bus, serve: z.serve, leave: z.unserve, agents: map[string]*standIn{}}
		p = z.agents
	}
	return &timed{p, z}
}

func (z *zero) bus() *events.Bus { return z.plat.Bus() }

func (z *zero) close(ctx context.Context) error {
	err := z.agents.close()
	if z.plat != nil {
		err = errors.Join(err, z.plat.Stop(ctx))
	}
	return errors.Join(err, z.kube.close(ctx))
}

func (z *zero) measure(ctx context.Context) (ZeroReport, error) {
	s := z.plat.Server()
	z.client = api.NewClient(s.HTTP, s.AdminToken, nil)
	if err := z.deploy(ctx); err != nil {
		return ZeroReport{}, err
	}
	if err := z.settle(ctx, z.keys); err != nil {
		return ZeroReport{}, err
	}
	if err := z.rounds(ctx); err != nil {
		return ZeroReport{}, err
	}
	fmt.Fprintln(z.Progress, "measuring the floor: an empty Update -> activity on the same server")
	at, together := "random", 0
	if z.AtOnce {
		at, together = "once", z.Functions
	}
	samples := max(len(z.starts), minFloor)
	below, err := measureFloor(ctx, z.plat.Temporal(), samples, together, len(z.starts)/z.Functions)
	if err != nil {
		return ZeroReport{}, err
	}
	creates, err := z.kube.createFloor(ctx, samples, together, len(z.starts)/z.Functions)
	return ZeroReport{
		Functions: z.Functions, At: at, Wakes: len(z.starts), EventToStart: quantiles(z.starts), EventToPod: quantiles(z.pods), EventToAnswer: quantiles(z.answers),
		UpdateFloor: quantiles(below.single), FloorSamples: len(below.single), FloorAtOnce: quantiles(below.atOnce),
		CreateFloor: quantiles(creates.single), CreateAtOnce: quantiles(creates.atOnce),
		Answered: len(z.answers), Lost: z.lost, Provider: z.Provider, LoadAverage: loadAverage(),
	}, err
}

// noImage is run by nobody: simulated replicas and nodes run nothing.
const noImage = "none"

const manifest = `{"apiVersion":"stoker.dev/v1","kind":"Function","metadata":{"name":%q},"spec":{
"runtime":%s,"scaling":{"keepAlive":"1ms"},"placement":{"pool":%q}}}
---
`

func (z *zero) deploy(ctx context.Context) error {
	runtime, err := z.runtime()
	if err != nil {
		return err
	}
	var text []byte
	for i := range z.Functions {
		k := functions.Key{Namespace: "default", Name: fmt.Sprintf("bench-%04d", i)}
		text = fmt.Appendf(text, manifest, k.Name, runtime, z.Config.Pool)
		z.keys = append(z.keys, k)
	}
	fmt.Fprintf(z.Progress, "deploying %d functions\n", z.Functions)
	_, err = z.client.Apply(ctx, "bench", text, false)
	return err
}

// runtime is what replicas run, in JSON: nothing, or the least model server.
func (z *zero) runtime() (string, error) {
	if z.Provider != providerLocal {
		return `{"image":"` + noImage + `"}`, nil
	}
	command, err := json.Marshal([]string{z.Self, "bench", "part", "backend", filepath.Join(z.Config.DataDir, "backend-address")})
	return fmt.Sprintf(`{"local":{"command":%s}}`, command), err
}

// rounds wakes the functions until there are enough wakes, from rest each time.
func (z *zero) rounds(ctx context.Context) error {
	dice := rand.New(rand.NewPCG(z.Seed, 0))
	for round := 1; len(z.starts)+z.lost < z.Wakes; round++ {
		keys := z.keys
		if !z.AtOnce {
			keys = []functions.Key{z.keys[dice.IntN(len(z.keys))]}
			if err := pause(ctx, time.Duration(dice.Int64N(int64(20*time.Millisecond)))); err != nil {
				return err
			}
		}
		if err := z.round(ctx, keys); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := z.settle(ctx, keys); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if round%50 == 0 || z.AtOnce {
			fmt.Fprintf(z.Progress, "%d of %d wakes\n", len(z.starts), z.Wakes)
		}
	}
	return nil
}

// round publishes one event to each function and waits for start and record of each.
func (z *zero) round(ctx context.Context, keys []functions.Key) error {
	z.started.expect(keys)
	z.created.expect(keys)
	var wg sync.WaitGroup
	errs := make([]error, len(keys))
	for i, k := range keys {
		wg.Go(func() { errs[i] = z.wake(ctx, k) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (z *zero) wake(ctx context.Context, k functions.Key) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	e := events.Event{ID: fmt.Sprintf("%s-%d", k.Name, time.Now().UnixNano()), Source: "stoker-bench", Type: "bench", Data: []byte("{}")}
	begin := time.Now()
	if _, err := z.plat.Bus().Publish(ctx, e, k, functions.Standard); err != nil {
		return err
	}
	rec, err := z.plat.Bus().WatchRecord(ctx, k, e.ID, e.Source)
	end := time.Now()
	start, pod := z.started.of(ctx, k), time.Time{}
	if z.kube != nil {
		pod = z.created.of(ctx, k)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if err != nil || rec.Status != events.StatusOK || start.IsZero() || z.kube != nil && pod.IsZero() {
		z.lost++
		return nil // a request without its answer is a figure, not a failure of the benchmark
	}
	z.answers = append(z.answers, end.Sub(begin))
	z.starts = append(z.starts, start.Sub(begin))
	if z.kube != nil {
		z.pods = append(z.pods, pod.Sub(begin))
	}
	return nil
}

// settle waits until the functions are at rest: no replica, consumers gone.
func (z *zero) settle(ctx context.Context, keys []functions.Key) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for _, k := range keys {
		for {
			fn, err := z.client.Get(ctx, k)
			if err != nil {
				return err
			}
			if fn.AtRest {
				break
			}
			if err := pause(ctx, settleEvery); err != nil {
				return fmt.Errorf("%s did not settle at zero: %w", k, err)
			}
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
