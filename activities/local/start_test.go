package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/activities/nvml"
	"stoker.dev/stoker/activities/providertest"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

func TestTheAgentIsToldAllAndItsEnvironmentNothing(t *testing.T) {
	t.Setenv("STOKER_PLATFORM_PASSWORD", "not for replicas")
	o := options(t)
	o.Secrets = t.TempDir()
	if err := os.MkdirAll(filepath.Join(o.Secrets, "hub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Secrets, "hub", "token"), []byte("hf_123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.GPUs = SimulatedGPUs(2)
	l := open(t, o)
	s := spec(t, providertest.Serves)
	s.Lease.Devices = []string{"sim-1"}
	s.Spec.Runtime.Env = []functions.EnvVar{
		{Name: "PLAIN", Value: "v"},
		{Name: "HF_TOKEN", ValueFrom: &functions.EnvSource{SecretKeyRef: &functions.SecretKeyRef{Name: "hub", Key: "token"}}},
	}
	running := run(t, l, s, 2)

	var cfg events.AgentConfig
	path := filepath.Join(o.Dir, s.ID, agentFile)
	if err := readJSON(path, &cfg); err != nil {
		t.Fatal(err)
	}
	want := []string{"PLAIN=v", "HF_TOKEN=hf_123", "CUDA_VISIBLE_DEVICES=", "STOKER_SIMULATED_GPUS=sim-1"}
	if !slices.Equal(cfg.Env, want) || len(cfg.GPUs) != 0 || cfg.NATS.Token != "" || cfg.NATS.TokenFile != filepath.Join(o.Dir, s.ID, tokenFile) || cfg.Replica != s.ID {
		t.Errorf("agent.json: %+v", cfg)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("agent.json: mode %v, %v", info.Mode(), err)
	}
	token, err := os.ReadFile(cfg.NATS.TokenFile)
	if info, serr := os.Stat(cfg.NATS.TokenFile); err != nil || serr != nil || string(token) != "very-secret\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("agent.token: %q, %v, %v", token, err, serr)
	}
	public, err := os.ReadFile(filepath.Join(o.Dir, s.ID, specFile))
	if err != nil || bytes.Contains(public, []byte("very-secret")) || bytes.Contains(public, []byte("hf_123")) {
		t.Errorf("spec.json holds credentials: %s, %v", public, err)
	}
	proc, err := l.procs.fs.Proc(running.PID)
	if err != nil {
		t.Fatal(err)
	}
	env, err := proc.Environ()
	if err != nil {
		t.Fatal(err)
	}
	allowed := append([]string{ConfigVar, MarkerVar}, passedOn...)
	for _, v := range env {
		if name, _, _ := strings.Cut(v, "="); v != "" && !slices.Contains(allowed, name) {
			t.Errorf("the agent's environment has %s", v)
		}
	}
	stat, err := proc.Stat()
	if err != nil || stat.Session != running.PID || stat.PGRP != running.PID {
		t.Errorf("the agent leads no session of its own: %+v, %v", stat, err)
	}
	if err := l.Stop(t.Context(), s.ID, 0); err != nil {
		t.Fatal(err)
	}
	awaitState(t, l, s.ID, activities.RunGone)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its credentials outlive the replica: %v", err)
	}
}

// fixedGPUs are real ones by their names.
type fixedGPUs []string

func (g fixedGPUs) Devices(context.Context) ([]nvml.Device, error) {
	var out []nvml.Device
	for i, uuid := range g {
		out = append(out, nvml.Device{UUID: uuid, Index: i, Product: "NVIDIA H200", Memory: 141 << 30})
	}
	return out, nil
}

func TestRealGPUsAreMadeVisible(t *testing.T) {
	o := options(t)
	o.GPUs = fixedGPUs{"GPU-a", "GPU-b", "GPU-c"}
	l := open(t, o)
	s := spec(t, providertest.Serves)
	s.Lease.Devices = []string{"GPU-a", "GPU-c"}
	cfg, err := l.agentConfig(t.TempDir(), s)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cfg.GPUs, s.Lease.Devices) || !slices.Contains(cfg.Env, "CUDA_VISIBLE_DEVICES=GPU-a,GPU-c") {
		t.Errorf("GPUs %v, environment %v", cfg.GPUs, cfg.Env)
	}
	s.Lease.Devices = nil
	if cfg, err = l.agentConfig(t.TempDir(), s); err != nil || !slices.Contains(cfg.Env, "CUDA_VISIBLE_DEVICES=") {
		t.Errorf("without a GPU it sees %v, %v", cfg.Env, err)
	}
}

func TestStartsThatCannotWork(t *testing.T) {
	secret := func(name, key string) func(*activities.ReplicaSpec) {
		return func(s *activities.ReplicaSpec) {
			s.Spec.Runtime.Env = []functions.EnvVar{{Name: "X", ValueFrom: &functions.EnvSource{SecretKeyRef: &functions.SecretKeyRef{Name: name, Key: key}}}}
		}
	}
	tests := []struct {
		name string
		harm func(*activities.ReplicaSpec)
		want error
		says string
	}{
		{"no command", func(s *activities.ReplicaSpec) { s.Spec.Runtime.Local = nil }, activities.ErrNoCommand, "local.command"},
		{"a path for an ID", func(s *activities.ReplicaSpec) { s.ID = "../../etc" }, activities.ErrBadSpec, "replica ID"},
		{"a hidden ID", func(s *activities.ReplicaSpec) { s.ID = ".x" }, activities.ErrBadSpec, "replica ID"},
		{"an unknown GPU", func(s *activities.ReplicaSpec) { s.Lease.Devices = []string{"sim-9"} }, activities.ErrBadSpec, "sim-9"},
		{"a relative directory", func(s *activities.ReplicaSpec) { s.Spec.Runtime.Local.WorkingDir = "here" }, activities.ErrBadSpec, "absolute"},
		{"a missing secret", secret("hub", "none"), activities.ErrBadSpec, filepath.Join("hub", "none")},
		{"a path for a secret", secret("..", "x"), activities.ErrBadSpec, "secret"},
		{"a path for a key", secret("hub", "../x"), activities.ErrBadSpec, "secret"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t)
			o.Secrets, o.GPUs = t.TempDir(), SimulatedGPUs(1)
			l := open(t, o)
			s := spec(t, providertest.Serves)
			tt.harm(&s)
			err := l.Start(t.Context(), s)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v; want %v that says %q", err, tt.want, tt.says)
			}
			nothing(t, l)
		})
	}
}

// nothing fails if a refused start left a trace.
func nothing(t *testing.T, l *Local) {
	t.Helper()
	if len(l.board.List()) > 0 || len(l.ids()) > 0 {
		t.Errorf("a refused start left %v, %v", l.board.List(), l.ids())
	}
	entries, err := os.ReadDir(l.o.Dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("a refused start left %v, %v", entries, err)
	}
}

func TestAFailedStartCanBeTriedAgain(t *testing.T) {
	o := options(t)
	l := open(t, o)
	s := spec(t, providertest.Serves)
	l.o.AgentBinary = filepath.Join(t.TempDir(), "gone")
	for range 2 {
		if err := l.Start(t.Context(), s); err == nil || !strings.Contains(err.Error(), "start the agent") {
			t.Errorf("without an agent: %v", err)
		}
		nothing(t, l)
	}
	l.o.AgentBinary = o.AgentBinary
	run(t, l, s, 2)
}

func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system to fill cannot be mounted here (it takes root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	o := options(t)
	o.Dir = filepath.Join(dir, "replicas")
	l := open(t, o)
	running := spec(t, providertest.Serves)
	run(t, l, running, 2)
	fill := filepath.Join(dir, "fill")
	if err := os.WriteFile(fill, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	s := spec(t, providertest.Serves)
	if err := l.Start(t.Context(), s); !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("a start on a full disk: %v", err)
	}
	if left := living(t, s.ID); len(left) > 0 {
		t.Errorf("a refused start left processes %v", left)
	}
	if err := l.Stop(t.Context(), running.ID, 0); err != nil { // a full disk keeps nothing alive
		t.Errorf("a stop on a full disk: %v", err)
	}
	awaitState(t, l, running.ID, activities.RunGone)
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	run(t, l, s, 2)
}

func TestADirectoryThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Dir = filepath.Join(file, "replicas")
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("a directory below a file: %v", err)
	}
	o = options(t)
	o.AgentBinary = file
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "go build ./cmd/stoker-agent") {
		t.Errorf("an agent that is no program: %v", err)
	}
}

func TestWhatIsOverIsPruned(t *testing.T) {
	o := options(t)
	now := time.Now()
	id := func(i int) string { return fmt.Sprintf("old-%03d", i) }
	const n = maxKeptLogs + 10
	for i := range n { // the higher, the older
		at := now.Add(-time.Duration(i) * time.Minute)
		writeRecord(t, o, record{ID: id(i), Begun: at, Ended: at, Gone: true, Stopped: true, Forgotten: at})
		if err := os.WriteFile(filepath.Join(o.Dir, id(i), serverLog), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeRecord(t, o, record{ID: "ancient", Begun: now, Ended: now, Gone: true, Stopped: true, Forgotten: now.Add(-2 * forbidFor)})
	writeRecord(t, o, record{ID: "never-ran", Stopped: true, Ended: now.Add(-2 * forbidFor)})
	writeRecord(t, o, record{ID: "unforgotten", Begun: now, Ended: now.Add(-2 * forbidFor), Gone: true})
	l := open(t, o)
	if len(l.board.List()) != 1 {
		t.Errorf("listed: %+v", l.board.List())
	}
	for _, gone := range []string{"ancient", "never-ran"} {
		if _, err := os.Stat(filepath.Join(o.Dir, gone)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is kept: %v", gone, err)
		}
	}
	logs, err := filepath.Glob(filepath.Join(o.Dir, "old-*", serverLog))
	if err != nil || len(logs) != maxKeptLogs || filepath.Base(filepath.Dir(logs[0])) != id(0) {
		t.Errorf("%d logs are kept, want the newest %d: %v", len(logs), maxKeptLogs, err)
	}
	s := spec(t, providertest.Serves)
	s.ID = id(n - 1)
	if err := l.Start(t.Context(), s); !errors.Is(err, activities.ErrStopped) {
		t.Errorf("an ID without logs: %v, want ErrStopped", err)
	}
}

func TestNoFileIsLeftOpen(t *testing.T) {
	eachWay(t, func(t *testing.T, o Options) {
		l := open(t, o)
		round := func() {
			s := spec(t, providertest.Serves)
			run(t, l, s, 2)
			if err := l.Stop(t.Context(), s.ID, 0); err != nil {
				t.Fatal(err)
			}
			awaitState(t, l, s.ID, activities.RunGone)
		}
		round()
		before := openFiles(t)
		for range 3 {
			round()
		}
		within(t, "the files are closed", func() bool { return openFiles(t) <= before })
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
