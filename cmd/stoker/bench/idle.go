package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"stoker.dev/stoker/cmd/stoker/config"
)

// Limits of the idle benchmark.
const (
	// restTimeout is for all functions to be at rest after they were deployed.
	restTimeout = 5 * time.Minute
	restEvery   = 250 * time.Millisecond
	// deployBatch functions go into one call: a call is bounded in size and time.
	deployBatch = 100
	// sampleEvery is how often processor time and memory are read during the window.
	sampleEvery = time.Second
)

// IdleOptions of one measurement.
type IdleOptions struct {
	Functions int
	Settle    time.Duration // from all at rest to the window: what deploying left behind is collected
	For       time.Duration // the window
	Load      LoadOptions   // of one more function, that is warm
	Self      string        // this program
	Config    config.Config
	Progress  io.Writer
}

// IdleReport is what `stoker bench idle --json` prints. Processor time is in percent of one core,
// memory is resident, in 10^6 bytes at the end of the window.
type IdleReport struct {
	Functions       int     `json:"functions"`
	CPUPercent      float64 `json:"cpu_percent"`
	RSSMB           float64 `json:"rss_mb"`
	CPUPercentEmpty float64 `json:"cpu_percent_empty"`
	RSSMBEmpty      float64 `json:"rss_mb_empty"`
	NATSMessages    int     `json:"nats_messages"`   // in and out of the broker
	TemporalEvents  int     `json:"temporal_events"` // written by functions' workflows

	Idle        SideReport  `json:"idle"`
	Empty       SideReport  `json:"empty"`
	Warm        *LoadReport `json:"warm,omitempty"`
	SettleSec   float64     `json:"settle_sec"`
	WindowSec   float64     `json:"window_sec"`
	LoadAverage string      `json:"load_average"`
}

// Idle measures what functions at zero cost: a platform with them beside an empty one, each a
// process of its own, over the same window. Then one more function is kept warm under load on
// the first.
func Idle(ctx context.Context, o IdleOptions) (rep IdleReport, err error) {
	dir, err := os.MkdirTemp("", "stoker-bench-")
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	idle, err := startUp(ctx, readyWithin, o.Self, dir, "idle", o.Config.Agent, o.Progress)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, idle.stop(context.WithoutCancel(ctx))) }()
	empty, err := startUp(ctx, readyWithin, o.Self, dir, "empty", o.Config.Agent, o.Progress)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, empty.stop(context.WithoutCancel(ctx))) }()
	if err := o.deploy(ctx, idle); err != nil {
		return rep, err
	}
	fmt.Fprintf(o.Progress, "all at rest; settling for %v, then measuring for %v\n", o.Settle, o.For)
	if rep, err = o.window(ctx, &side{up: idle}, &side{up: empty}); err != nil || o.Load.Requests == 0 {
		return rep, err
	}
	warm, err := warmLoad(ctx, idle, o)
	rep.Warm = &warm
	return rep, err
}

// window lets both platforms settle and measures them at the same time.
func (o IdleOptions) window(ctx context.Context, idle, empty *side) (IdleReport, error) {
	both := []*side{idle, empty}
	for _, s := range both {
		if err := s.settle(ctx); err != nil {
			return IdleReport{}, err
		}
	}
	if err := pause(ctx, o.Settle); err != nil {
		return IdleReport{}, err
	}
	var sides [2]SideReport
	var errs [2]error
	var wg sync.WaitGroup
	for i, s := range both {
		wg.Go(func() { sides[i], errs[i] = s.measure(ctx, o.For) })
	}
	wg.Wait()
	a, b := sides[0], sides[1]
	return IdleReport{
		Functions: o.Functions, CPUPercent: a.CPUPercent, RSSMB: a.RSSMB, CPUPercentEmpty: b.CPUPercent, RSSMBEmpty: b.RSSMB,
		NATSMessages: a.NATSMessages, TemporalEvents: a.TemporalEvents, Idle: a, Empty: b,
		SettleSec: o.Settle.Seconds(), WindowSec: o.For.Seconds(), LoadAverage: loadAverage(),
	}, errors.Join(errs[:]...)
}

const idleManifest = `apiVersion: stoker.dev/v1
kind: Function
metadata:
  name: idle-%04d
spec:
  runtime:
    local:
      command: ["/bin/false"]
  resources:
    gpus: 1
---
`

// deploy puts the functions up and waits until all are at rest.
func (o IdleOptions) deploy(ctx context.Context, u *up) error {
	begin := time.Now()
	for from := 0; from < o.Functions; from += deployBatch {
		var text []byte
		for i := from; i < min(from+deployBatch, o.Functions); i++ {
			text = fmt.Appendf(text, idleManifest, i)
		}
		if _, err := u.client.Apply(ctx, "bench", text, false); err != nil {
			return fmt.Errorf("deploy functions from %d on: %w", from, err)
		}
	}
	fmt.Fprintf(o.Progress, "%d functions deployed in %.1f s\n", o.Functions, time.Since(begin).Seconds())
	return u.awaitRest(ctx, o.Functions)
}

// awaitRest waits until there are n functions, and all are at zero with nothing under way.
func (u *up) awaitRest(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	for {
		fns, err := u.client.List(ctx, "")
		if err != nil {
			return err
		}
		resting := 0
		for _, f := range fns {
			if f.AtRest {
				resting++
			}
		}
		if resting == n {
			return nil
		}
		if err := pause(ctx, restEvery); err != nil {
			return fmt.Errorf("%d of %d functions are at rest: %w", resting, n, err)
		}
	}
}
