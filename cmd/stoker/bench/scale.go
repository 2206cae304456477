package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"stoker.dev/stoker/cmd/stoker/config"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// ScaleOptions of one measurement.
type ScaleOptions struct {
	Provider  string // simulated, or kubernetes: Pods on simulated nodes
	Replicas  int    // of one function: 1 → Replicas → 1; 0: none
	Functions int    // of many, each 0 → Each → 0
	Each      int
	Load      LoadOptions // on the one function at its full size
	Seed      uint64
	Config    config.Config
	Version   string
	Progress  io.Writer
}

// ScaleReport is what `stoker bench scale --json` prints.
type ScaleReport struct {
	One  OneReport  `json:"one"`
	Many ManyReport `json:"many"`
	// Load is on the one function, at its full size.
	Load *LoadReport `json:"load,omitempty"`
	// DecidePerSec is the pure function alone, for 64 replicas, on one core.
	DecidePerSec float64 `json:"decide_per_sec"`
	LoadAverage  string  `json:"load_average"`
}

// OneReport is one function by order: out at once, then back.
type OneReport struct {
	Replicas int        `json:"replicas"`
	Out      StepReport `json:"out"`
	In       StepReport `json:"in"`
}

// ManyReport is many functions by demand: for each replica one request that runs and one that
// waits, held until all run, then answered.
type ManyReport struct {
	Functions int        `json:"functions"`
	Each      int        `json:"each"`
	Out       StepReport `json:"out"`
	In        StepReport `json:"in"` // begins when the scale-in window allows it
	RSS       Memory     `json:"rss_mb"`
	// CreateFloor is as many Pods created directly at once, by the provider's client; its maximum is until all were
	// created. On Kubernetes.
	CreateFloor Quantiles `json:"create_floor_at_once_ms,omitzero"`
	Requests    int       `json:"requests"` // that were acknowledged
	Answered    int       `json:"answered"` // of them, those whose record is a result
	Lost        int       `json:"lost"`     // of them, those without a record
}

// Memory is what this process holds, in MB of 10^6 bytes: platform, embedded servers and what
// stands in for agents and callers.
type Memory struct {
	Before  float64 `json:"before"`
	Running float64 `json:"running"` // with all replicas
	After   float64 `json:"after"`   // with none left
}

// StepReport is one change of capacity.
type StepReport struct {
	Changes     int       `json:"changes"`     // replicas started and stopped
	Replicas    Quantiles `json:"replica_ms"`  // from what asked for it to the entry of the provider's start or stop call
	AllMS       float64   `json:"all_ms"`      // until the provider had started the last one, or it was gone
	DoneMS      float64   `json:"done_ms"`     // until workflows and controller have nothing left to do
	Evaluations int       `json:"evaluations"` // of the decider
	Decisions   int       `json:"decisions"`   // those that changed something
	// DecisionsPerSec and EvaluationsPerSec are over the whole step.
	DecisionsPerSec   float64 `json:"decisions_per_sec"`
	EvaluationsPerSec float64 `json:"evaluations_per_sec"`
	Syncs             int     `json:"syncs"`
	LedgerWrites      int     `json:"ledger_writes"`
	LedgerConflicts   int     `json:"ledger_conflicts"`
	TemporalEvents    int     `json:"temporal_events"`
	EventsPerChange   float64 `json:"temporal_events_per_change"`
	// Pods that were created, on Kubernetes.
	Pods *PodsReport `json:"pods,omitempty"`
}

// PodsReport is the creation of Pods.
type PodsReport struct {
	Count   int       `json:"count"`
	Unasked int       `json:"unasked"`    // replicas that ended without being stopped: on a slow machine a Pod is given up
	Created Quantiles `json:"created_ms"` // from what asked for it to the return of the API server's create call
	// AllCreatedMS and AllRunningMS are from the beginning of the step.
	AllCreatedMS float64 `json:"all_created_ms"`
	AllRunningMS float64 `json:"all_running_ms"` // as the provider tells it
}

// Scale measures changes of capacity.
func Scale(ctx context.Context, o ScaleOptions) (rep ScaleReport, err error) {
	w, err := openScaleWorld(ctx, o)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, w.close(context.WithoutCancel(ctx))) }()
	if err := w.one(ctx, &rep); err != nil {
		return rep, fmt.Errorf("one function: %w", err)
	}
	if rep.Many, err = w.many(ctx); err != nil {
		return rep, fmt.Errorf("many functions: %w", err)
	}
	rep.DecidePerSec = decideRate()
	rep.LoadAverage = loadAverage()
	return rep, nil
}

const oneManifest = `{"apiVersion":"stoker.dev/v1","kind":"Function","metadata":{"name":"one"},"spec":{
"runtime":{"image":%q},"resources":{"gpus":1},"scaling":{"max":%d,"slots":1,"keepAlive":"1ms"},"placement":{"pool":%q}}}`

var oneKey = functions.Key{Namespace: "default", Name: "one"}

// one takes a function from one replica to many and back, by order, and loads it in between.
func (w *scaleWorld) one(ctx context.Context, rep *ScaleReport) (err error) {
	rep.One.Replicas = w.o.Replicas
	if w.o.Replicas == 0 {
		return nil
	}
	if err := w.apply(ctx, fmt.Appendf(nil, oneManifest, noImage, w.o.Replicas, w.o.Config.Pool)); err != nil {
		return err
	}
	if _, err := w.pin(ctx, 1); err != nil {
		return err
	}
	fmt.Fprintf(w.o.Progress, "one function: 1 -> %d -> 1 replicas\n", w.o.Replicas)
	if rep.One.Out, err = w.pin(ctx, w.o.Replicas); err != nil {
		return err
	}
	if w.o.Load.Requests > 0 {
		fmt.Fprintf(w.o.Progress, "load on its %d replicas\n", w.o.Replicas)
		l, err := load{w.o.Load, w.caller, oneKey}.measure(ctx, w.probe)
		if err != nil {
			return err
		}
		rep.Load = &l
	}
	if rep.One.In, err = w.pin(ctx, 1); err != nil {
		return err
	}
	_, err = w.pin(ctx, 0)
	return err
}

// pin sets the number of replicas of the one function, and waits until it is so and everything
// is at rest.
func (w *scaleWorld) pin(ctx context.Context, n int) (StepReport, error) {
	return w.step(ctx, func(began time.Time) error {
		w.record.begin(began)
		return w.client.Scale(ctx, oneKey, &n)
	}, func() (bool, error) {
		fn, err := w.client.Get(ctx, oneKey)
		return fn.Ready == n && len(fn.Replicas) == n && w.record.running() == n, err
	})
}

// decideFor is how long the pure decider is measured.
const decideFor = 200 * time.Millisecond

// decideRate calls the pure decider as the controller does, with time going on.
func decideRate() float64 {
	spec := scale.Spec{Revision: "r", Max: 100, Slots: 4, Wait: 2 * time.Second, KeepAlive: scale.AutoKeepAlive, GPUs: 1}
	now := time.Now()
	obs := scale.Observation{Pending: map[functions.Class]int{functions.Standard: 64}, FreeGPUs: 64}
	for i := range 64 {
		obs.Replicas = append(obs.Replicas, scale.Replica{ID: fmt.Sprintf("r%03d", i), Revision: "r", Phase: scale.Ready, Since: now, InFlight: 3})
	}
	var s scale.State
	n := 0
	begin := time.Now()
	for time.Since(begin) < decideFor {
		now = now.Add(time.Second)
		s, _ = scale.Decide(spec, s, obs, now)
		n++
	}
	return float64(n) / time.Since(begin).Seconds()
}
