package local

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// Environment of an agent and of all that it starts.
const (
	// ConfigVar names the agent's configuration file.
	ConfigVar = "STOKER_AGENT_CONFIG"
	// MarkerVar holds the replica's ID. Every process of the tree inherits it, so that the tree is found again.
	MarkerVar = "STOKER_REPLICA_ID"
	// SimulatedVar lists the simulated GPUs of a replica, which CUDA_VISIBLE_DEVICES cannot.
	SimulatedVar = "STOKER_SIMULATED_GPUS"

	visibleVar = "CUDA_VISIBLE_DEVICES"
)

// passedOn are the variables an agent has from the platform; everything else, the platform's
// own secrets among it, stays here.
var passedOn = []string{"PATH", "HOME", "LANG"}

// agentEnv is the agent's whole environment.
func (l *Local) agentEnv(id, config string) []string {
	env := []string{ConfigVar + "=" + config, MarkerVar + "=" + id}
	for _, name := range passedOn {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, l.o.Env...)
}

// agentConfig completes what the agent is told: command, environment, GPUs and files.
func (l *Local) agentConfig(dir string, spec activities.ReplicaSpec) (events.AgentConfig, error) {
	run := spec.Spec.Runtime
	if run.Local == nil || len(run.Local.Command) == 0 {
		return events.AgentConfig{}, fmt.Errorf("%w (replica %s of %s)", activities.ErrNoCommand, spec.ID, spec.Key)
	}
	env, err := l.serverEnv(spec)
	if err != nil {
		return events.AgentConfig{}, err
	}
	cfg := spec.Agent
	cfg.Key, cfg.Replica, cfg.Revision, cfg.Spec = spec.Key, spec.ID, spec.Revision, spec.Spec
	cfg.Command = append(append([]string{}, run.Local.Command...), run.Local.Args...)
	cfg.Env, cfg.Secrets, cfg.Rank = env, secretVars(run.Env), rankConfig(spec.Gang)
	cfg.Port = run.Port
	cfg.LogFile = filepath.Join(dir, serverLog)
	cfg.StatusFile = filepath.Join(dir, statusFile)
	cfg.WorkingDir = run.Local.WorkingDir
	if cfg.WorkingDir == "" {
		cfg.WorkingDir = filepath.Join(dir, workDir)
	}
	if !filepath.IsAbs(cfg.WorkingDir) {
		return cfg, fmt.Errorf("%w: spec.runtime.local.workingDir %q must be absolute: a replica may outlive the directory stoker was started in",
			activities.ErrBadSpec, cfg.WorkingDir)
	}
	if !simulated(spec.Lease.Devices) {
		cfg.GPUs = spec.Lease.Devices
	}
	return cfg, nil
}

// simulated tells whether devices are slots without a GPU behind them.
func simulated(devices []string) bool {
	return len(devices) > 0 && strings.HasPrefix(devices[0], simulatedPrefix)
}

// serverEnv is the manifest's environment with its secrets, a rank's place, and the GPUs. A replica without a
// real GPU sees none: CUDA_VISIBLE_DEVICES is there and empty.
func (l *Local) serverEnv(spec activities.ReplicaSpec) ([]string, error) {
	var env []string
	for _, v := range spec.Spec.Runtime.Env {
		value, err := l.resolve(v)
		if err != nil {
			return nil, fmt.Errorf("environment variable %s of %s: %w", v.Name, spec.Key, err)
		}
		env = append(env, v.Name+"="+value)
	}
	place, err := rankEnv(spec)
	if err != nil {
		return nil, err
	}
	env = append(env, place...)
	if simulated(spec.Lease.Devices) {
		return append(env, visibleVar+"=", SimulatedVar+"="+strings.Join(spec.Lease.Devices, ",")), nil
	}
	return append(env, visibleVar+"="+strings.Join(spec.Lease.Devices, ",")), nil
}

// secretVars names the variables whose values the agent keeps out of what it tells.
func secretVars(env []functions.EnvVar) []string {
	var names []string
	for _, v := range env {
		if v.ValueFrom != nil {
			names = append(names, v.Name)
		}
	}
	return names
}

// maxSecret bounds a secret's value, as Kubernetes bounds a whole Secret.
const maxSecret = 1 << 20 // bytes

// secretName keeps a reference within the secrets' directory.
var secretName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,252}$`)

// resolve reads a variable's value. One line end at a secret's end is dropped: editors and
// echo put it there, and no header takes it.
func (l *Local) resolve(v functions.EnvVar) (string, error) {
	if v.ValueFrom == nil || v.ValueFrom.SecretKeyRef == nil {
		return v.Value, nil
	}
	ref := *v.ValueFrom.SecretKeyRef
	if !secretName.MatchString(ref.Name) || !secretName.MatchString(ref.Key) {
		return "", fmt.Errorf("%w: secret %q, key %q: want letters, digits, '.', '_', '-'", activities.ErrBadSpec, ref.Name, ref.Key)
	}
	if l.o.Secrets == "" {
		return "", fmt.Errorf("%w: secret %s/%s: no directory of secrets is set", activities.ErrBadSpec, ref.Name, ref.Key)
	}
	path := filepath.Join(l.o.Secrets, ref.Name, ref.Key)
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w: secret %s/%s: put its value in %s: %w", activities.ErrBadSpec, ref.Name, ref.Key, path, err)
	}
	data = bytes.TrimSuffix(data, []byte("\n"))
	if len(data) > maxSecret || bytes.IndexByte(data, 0) >= 0 {
		return "", fmt.Errorf("%w: secret %s is no text of at most %d bytes", activities.ErrBadSpec, path, maxSecret)
	}
	return string(data), nil
}
