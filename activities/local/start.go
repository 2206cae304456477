package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/functions"
)

// Start implements [activities.Provider].
func (l *Local) Start(ctx context.Context, spec activities.ReplicaSpec) error {
	r, err := l.take(spec.ID, true)
	if err != nil {
		return err
	}
	defer r.mu.Unlock()
	run, err := r.admit(spec)
	if err == nil && run {
		err = l.launch(ctx, r, spec)
	}
	if err != nil && !r.rec.begun() && !r.rec.Stopped {
		l.drop(r)
	}
	return err
}

// admit tells whether a start is to run, is one already made, or comes too late.
func (r *replica) admit(spec activities.ReplicaSpec) (bool, error) {
	switch {
	case r.rec.Stopped:
		return false, fmt.Errorf("%w: replica %s", activities.ErrStopped, spec.ID)
	case spec.Lease.Epoch < r.rec.Epoch:
		return false, fmt.Errorf("%w: replica %s: epoch %d, already seen %d", activities.ErrFenced, spec.ID, spec.Lease.Epoch, r.rec.Epoch)
	case !r.rec.begun():
		return true, nil
	case spec.Lease.Epoch > r.rec.Epoch:
		r.rec.Epoch = spec.Lease.Epoch
		return false, r.save()
	default:
		return false, nil
	}
}

// launch writes the files and spawns the agent. On an error nothing is left behind.
func (l *Local) launch(ctx context.Context, r *replica, spec activities.ReplicaSpec) error {
	if err := l.checkDevices(ctx, spec); err != nil {
		return err
	}
	spec.Gang = placed(spec.Gang, r.dir)
	cfg, err := l.agentConfig(r.dir, spec)
	if err != nil {
		return err
	}
	before := r.rec
	r.rec = record{
		ID: spec.ID, Key: spec.Key, Revision: spec.Revision, Epoch: spec.Lease.Epoch,
		Node: l.o.Node, Devices: spec.Lease.Devices, Begun: time.Now(), Boot: l.boot,
		Rank: spec.Gang != nil,
	}
	token := cfg.NATS.Token
	if token != "" {
		cfg.NATS.Token, cfg.NATS.TokenFile = "", filepath.Join(r.dir, tokenFile)
	}
	public := spec
	public.Spec, public.Gang, public.Agent = functions.Redact(spec.Spec), shown(spec.Gang), cfg
	public.Agent.Spec, public.Agent.Env = public.Spec, nil // secrets stay in agent.json
	err = os.MkdirAll(filepath.Join(r.dir, workDir), dirMode)
	if err != nil {
		err = explain(r.dir, err)
	}
	for _, write := range []func() error{
		func() error { return writeJSON(filepath.Join(r.dir, specFile), public) },
		func() error { return writeJSON(filepath.Join(r.dir, agentFile), cfg) },
		func() error { return writeToken(cfg.NATS.TokenFile, token) },
		func() error { return writeRank(spec.Gang) },
		r.save, // before the spawn: a platform killed in between looks for the marker
		func() error { return l.spawn(r, spec) },
	} {
		if err == nil {
			err = write()
		}
	}
	if err != nil {
		r.rec = before
		os.RemoveAll(r.dir)
		return fmt.Errorf("start replica %s: %w", spec.ID, err)
	}
	l.post(r)
	return nil
}
