package demo

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/binaries"
	"stoker.dev/stoker/cmd/stoker/config"
	"stoker.dev/stoker/cmd/stoker/platform"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

//go:embed manifest.yaml
var manifest string

// Limits of the demo.
const (
	zeroTimeout   = 2 * time.Minute // for the function to be back at zero
	answerTimeout = 3 * time.Minute // for the whole burst to be answered
	lookEvery     = 200 * time.Millisecond
)

// Options of a demo.
type Options struct {
	Config   config.Config
	Version  string
	Requests int  // events in the burst
	GPUs     int  // simulated slots, where there is no driver
	Keep     bool // leave the platform running until ctx ends
	Progress io.Writer
}

// Report is what a demo prints with --json.
type Report struct {
	RequestsSent     int     `json:"requests_sent"`
	RequestsAnswered int     `json:"requests_answered"`
	LossFirst        float64 `json:"loss_first"`
	LossLast         float64 `json:"loss_last"`
	TrainSeconds     float64 `json:"train_seconds"`
	// EventToStartMS runs from just before the first publish to the commit of the first lease,
	// right before the provider is called.
	EventToStartMS float64       `json:"event_to_start_ms"`
	ColdStartMS    float64       `json:"cold_start_ms"` // event stored → ready
	Receipt        api.ColdStart `json:"receipt"`
	ReplicasMax    int           `json:"replicas_max"`
	ReplicasEnd    int           `json:"replicas_end"`
	GPUSeconds     api.Split     `json:"gpu_seconds"`
	TemporalUI     string        `json:"temporal_ui"`
	Streamed       string        `json:"streamed"` // the answer that came in pieces
	StreamChunks   int           `json:"stream_chunks"`
}

// run is a demo under way.
type run struct {
	Options
	dir    string
	key    functions.Key
	plat   *platform.Platform
	client *api.Client
	bus    *events.Bus
	report Report
}

// Run shows the main job. Without Keep nothing of it is left afterwards.
func Run(ctx context.Context, o Options) (Report, error) {
	dir, err := os.MkdirTemp("", "stoker-demo-")
	if err != nil {
		return Report{}, fmt.Errorf("make a directory for the demo: %w", err)
	}
	r := &run{Options: o, dir: dir, key: functions.Key{Namespace: "default", Name: "tinylm"}}
	err = r.run(ctx)
	if !o.Keep {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return r.report, err
}

func (r *run) say(format string, args ...any) { fmt.Fprintf(r.Progress, format+"\n", args...) }

func (r *run) run(ctx context.Context) (err error) {
	tinylm, err := binaries.Find(ctx, "tinylm", r.Progress)
	if err != nil {
		return err
	}
	r.say("1/5  starting the platform in %s", r.dir)
	if err := r.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end(ctx)) }()
	r.say("2/5  training a character-level language model (real weights, real loss)")
	if err := r.train(ctx, tinylm); err != nil {
		return err
	}
	r.say("3/5  deploying it at zero: no process, no GPU, no consumer")
	if err := r.deploy(ctx, tinylm); err != nil {
		return err
	}
	r.say("4/5  publishing %d events at once", r.Requests)
	if err := r.burst(ctx); err != nil {
		return err
	}
	r.say("5/5  waiting for the function to go back to zero (keep-alive 3s)")
	return r.toZero(ctx)
}

func (r *run) start(ctx context.Context) error {
	c := r.Config
	c.DataDir, c.Listen, c.RandomPorts, c.GPUs = filepath.Join(r.dir, "data"), "127.0.0.1:0", true, r.GPUs
	c.NATSListen, c.Users, c.Anonymous, c.TLSCert, c.TLSKey = "127.0.0.1", "", true, "", "" // for this machine, this once
	logFile, err := os.Create(filepath.Join(r.dir, "platform.log"))
	if err != nil {
		return err
	}
	r.plat, err = platform.Start(ctx, platform.Options{
		Config: c, Version: r.Version, Progress: r.Progress,
		Log: slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		return errors.Join(err, logFile.Close())
	}
	s := r.plat.Server()
	r.report.TemporalUI = s.UI
	r.client = api.NewClient(s.HTTP, s.AdminToken, nil)
	// The burst is published as anyone would: over TCP, without credentials.
	r.bus, err = events.Connect(events.NATSAccess{URL: s.NATS}, events.ConnectOptions{Name: "stoker-demo"})
	if err != nil {
		return errors.Join(err, r.end(ctx))
	}
	r.say("     Temporal UI %s", s.UI)
	return nil
}

// end stops the platform, after the user has seen enough of it where it is kept.
func (r *run) end(ctx context.Context) error {
	if r.bus != nil {
		r.bus.Close()
	}
	if r.Keep && ctx.Err() == nil {
		r.say("\nleft running: %s, data in %s; interrupt to stop", r.plat.Server().HTTP, r.dir)
		if link, err := r.client.Login(ctx); err == nil {
			r.say("Temporal UI: %s  (works once, within a minute; stoker --data-dir %s/data ui makes another)", link, r.dir)
		}
		r.say("try: stoker --data-dir %s/data describe tinylm", r.dir)
		<-ctx.Done()
	}
	return r.plat.Stop(context.WithoutCancel(ctx))
}

func (r *run) deploy(ctx context.Context, tinylm string) error {
	t, err := template.New("manifest").Parse(manifest)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	err = t.Execute(&text, map[string]any{"TinyLM": tinylm, "Checkpoint": filepath.Join(r.dir, "model"), "GPUs": r.GPUs})
	if err != nil {
		return err
	}
	applied, err := r.client.Apply(ctx, "tinylm.yaml", text.Bytes(), false)
	if err != nil {
		return err
	}
	r.say("     function %s %s, revision %s", applied[0].Key, applied[0].Action, applied[0].Revision)
	return nil
}

// toZero waits until nothing of the function is left.
func (r *run) toZero(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, zeroTimeout)
	defer cancel()
	fn, err := r.until(ctx, func(f api.Function) bool { return f.Target == 0 && len(f.Replicas) == 0 })
	if err != nil {
		return fmt.Errorf("the function did not go back to zero: %w", err)
	}
	r.report.ReplicasEnd, r.report.GPUSeconds = len(fn.Replicas), fn.GPUSeconds
	return nil
}

// until looks at the function until it is as wanted, and shows every change of its size.
func (r *run) until(ctx context.Context, done func(api.Function) bool) (api.Function, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	shown := ""
	for {
		fn, err := r.client.Get(ctx, r.key)
		if err != nil {
			return fn, err
		}
		r.report.ReplicasMax = max(r.report.ReplicasMax, fn.Ready+fn.Starting)
		now := fmt.Sprintf("     %-9s target %d: %d ready, %d starting, %d draining (%s)", fn.Phase, fn.Target, fn.Ready, fn.Starting, fn.Draining, fn.Last.Reason)
		if now != shown {
			r.say("%s", now)
			shown = now
		}
		if done(fn) {
			return fn, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fn, ctx.Err()
		}
	}
}
