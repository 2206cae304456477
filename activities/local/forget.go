package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"stoker.dev/stoker/activities"
)

// What is kept of replicas that are over.
const (
	// forbidFor is how long an ended ID refuses a start. A start that comes late was asked for
	// by a workflow's activity, whose retries end within minutes.
	forbidFor = 24 * time.Hour
	// maxForbidden bounds the IDs kept, should replicas crash faster than they are forgotten;
	// the oldest go first.
	maxForbidden = 4096
	// maxKeptLogs is of how many forgotten replicas the logs are kept: each is at most a few
	// rotated files.
	maxKeptLogs = 32
)

// Forget implements [activities.Provider]. Logs stay until those of [maxKeptLogs] newer
// replicas are kept.
func (l *Local) Forget(_ context.Context, id string) error {
	r, err := l.take(id, false)
	if errors.Is(err, activities.ErrNoReplica) {
		return nil
	}
	if err != nil {
		return err
	}
	err = l.forget(r)
	r.mu.Unlock()
	if err == nil {
		l.prune()
	}
	return err
}

func (l *Local) forget(r *replica) error {
	switch {
	case !r.rec.begun() || !r.rec.Forgotten.IsZero():
		return nil
	case !r.rec.Gone:
		return fmt.Errorf("forget replica %s, which is %s: %w", r.rec.ID, r.rec.state(), activities.ErrStillRunning)
	}
	r.rec.Stopped, r.rec.Forgotten = true, time.Now()
	r.rec.Message, r.rec.Last = "", nil
	if err := r.save(); err != nil {
		r.rec.Forgotten = time.Time{}
		return err
	}
	l.board.Drop(r.rec.ID)
	if r.rec.Cgroup != "" {
		os.Remove(r.rec.Cgroup) // where the end could not: somebody else had not reaped yet
	}
	return r.keepLogs()
}

// keepLogs removes everything but the record and the logs: also the halves of files that
// whoever was killed left behind.
func (r *replica) keepLogs() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	keep := append(logFiles(r.dir, serverLog), filepath.Join(r.dir, agentLog), filepath.Join(r.dir, runFile))
	var errs []error
	for _, e := range entries {
		if path := filepath.Join(r.dir, e.Name()); !slices.Contains(keep, path) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// over is when a locked replica became a mere reason to refuse a start; zero if it is more.
func (r *record) over() time.Time {
	if !r.begun() {
		return r.Ended
	}
	return r.Forgotten
}

// prune removes what has been kept long enough.
func (l *Local) prune() {
	type old struct {
		id string
		at time.Time
	}
	var kept []old
	for _, id := range l.ids() {
		if r, err := l.take(id, false); err == nil {
			if at := r.rec.over(); !at.IsZero() {
				kept = append(kept, old{id, at})
			}
			r.mu.Unlock()
		}
	}
	slices.SortFunc(kept, func(a, b old) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.id, b.id)) })
	for i, k := range kept { // newest first
		switch {
		case i >= maxForbidden || time.Since(k.at) > forbidFor:
			l.remove(k.id, true)
		case i >= maxKeptLogs:
			l.remove(k.id, false)
		}
	}
}

// remove deletes the logs of a replica that is over, or all of it.
func (l *Local) remove(id string, all bool) {
	r, err := l.take(id, false)
	if err != nil {
		return
	}
	defer r.mu.Unlock()
	if all {
		if err := os.RemoveAll(r.dir); err != nil {
			l.log.Warn("an old replica's directory stays", "dir", r.dir, "err", err)
			return
		}
		l.drop(r)
		return
	}
	for _, path := range append(logFiles(r.dir, serverLog), filepath.Join(r.dir, agentLog)) {
		os.Remove(path) // the next round tries again
	}
}
