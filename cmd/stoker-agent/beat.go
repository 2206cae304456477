package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"time"

	"stoker.dev/stoker/events"
)

// beatEvery is the pace of heartbeats. Phase changes do not wait for it.
const beatEvery = time.Second

// beater says how the replica is: to the broker each second, and at every change of phase
// to the status file too, which a platform that was away reads.
type beater struct {
	a    *agent
	wake chan struct{}

	mu      sync.Mutex
	said    events.Heartbeat // cause, message, process IDs; the rest is read fresh
	written events.Phase     // of the status file
}

func newBeater(a *agent) *beater {
	return &beater{a: a, wake: make(chan struct{}, 1), said: events.Heartbeat{
		Replica: a.c.Replica, Revision: a.c.Revision, PID: os.Getpid(), Slots: a.c.Spec.Scaling.Slots,
	}}
}

// run beats until ctx ends.
func (b *beater) run(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-b.wake:
		case <-ctx.Done():
			return
		}
		b.now()
	}
}

// soon beats without waiting for it.
func (b *beater) soon() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// now beats. A broker that is away hears the next one: a buffered heartbeat would be old.
func (b *beater) now() {
	b.mu.Lock()
	defer b.mu.Unlock()
	hb := b.said
	hb.At = time.Now().UTC()
	b.a.meter.Read(hb.At, &hb)
	hb.Pending = b.a.puller.Pending()
	hb.GPUs = b.a.gpus.last()
	if b.a.rank != nil {
		hb.Rank = b.a.rank.Said()
		hb.Slots = 0 // it takes no requests
		if hb.Phase != events.PhaseExited {
			hb.Rank.End = nil // told with the last heartbeat, not with one in between
		}
		hb.Totals.UsefulSec, hb.Totals.IdleSec = hb.Totals.IdleSec, 0 // a program that runs trains
	}
	if hb.Phase != b.written && b.a.c.StatusFile != "" {
		if err := b.writeStatus(hb); err != nil {
			b.a.log.Error("status file not written", "err", err)
		} else {
			b.written = hb.Phase
		}
	}
	if !b.a.bus.Conn().IsConnected() {
		return
	}
	if err := b.a.bus.Beat(b.a.c.Key, hb); err != nil {
		b.a.log.Warn("heartbeat not sent", "err", err)
	}
}

func (b *beater) writeStatus(hb events.Heartbeat) error {
	if b.a.c.Attach || b.a.inPod() {
		return writeTermination(b.a.c.StatusFile, hb)
	}
	return replaceJSON(b.a.c.StatusFile, hb)
}

func (b *beater) serverPID(pid int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said.ServerPID = pid
}

// because says why the replica is on its way out.
func (b *beater) because(cause, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said.Cause, b.said.Message = cause, message
}

func (b *beater) exited(e end) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said.Cause, b.said.Message, b.said.ExitCode = e.cause, e.message, e.serverCode
}

// replaceJSON replaces a file as a whole: a reader sees what was there before or what is there now.
func replaceJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if _, err := temp.Write(data); err != nil {
		temp.Close()
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
