package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"stoker.dev/stoker/activities/nvml"
)

// Options say where replicas live and what they may use.
type Options struct {
	Dir         string       // one directory per replica below it; made if missing
	Secrets     string       // <name>/<key> files that manifests refer to; empty: none
	AgentBinary string       // path of stoker-agent
	GPUs        GPUs         // nil: none
	Node        string       // what this machine is called in inventory and leases; default its host name
	Env         []string     // further KEY=VALUE for every agent
	NoCgroup    bool         // find trees by marker and session even where a cgroup could be made
	Logger      *slog.Logger // default slog.Default()
}

// GPUs is where the provider learns what GPUs there are. [nvml.Library] is one.
type GPUs interface {
	Devices(ctx context.Context) ([]nvml.Device, error)
}

// complete fills the defaults and refuses what cannot work.
func (o Options) complete() (Options, error) {
	if o.Dir == "" || o.AgentBinary == "" {
		return o, errors.New("local provider: Dir and AgentBinary are needed")
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, fmt.Errorf("local provider: %w", err)
	}
	if o.AgentBinary, err = filepath.Abs(o.AgentBinary); err != nil {
		return o, fmt.Errorf("local provider: %w", err)
	}
	if info, err := os.Stat(o.AgentBinary); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return o, fmt.Errorf("local provider: agent %s is not a program: build it with go build ./cmd/stoker-agent", o.AgentBinary)
	}
	if o.Node == "" {
		if o.Node, err = os.Hostname(); err != nil {
			return o, fmt.Errorf("local provider: name this machine: %w", err)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.GPUs == nil {
		o.GPUs = SimulatedGPUs(0)
	}
	return o, nil
}

// Simulated GPUs hold nothing and compute nothing; they are slots to place on.
const (
	simulatedProduct = "Simulated"
	simulatedMemory  = 80 << 30 // bytes, as on the GPUs most fleets have, so that manifests fit
	simulatedPrefix  = "sim-"
)

// SimulatedGPUs are n slots for a machine without GPUs, named "sim-0" on.
func SimulatedGPUs(n int) GPUs { return simulatedGPUs(n) }

type simulatedGPUs int

// Devices implements [GPUs].
func (n simulatedGPUs) Devices(context.Context) ([]nvml.Device, error) {
	var out []nvml.Device
	for i := range int(n) {
		out = append(out, nvml.Device{
			UUID: fmt.Sprint(simulatedPrefix, i), Index: i, Product: simulatedProduct, Memory: simulatedMemory,
		})
	}
	return out, nil
}
