package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"stoker.dev/stoker/activities"
)

// adoptAll reads the directory and goes on with every replica in it.
func (l *Local) adoptAll() error {
	entries, err := os.ReadDir(l.o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !replicaID.MatchString(e.Name()) {
			continue
		}
		r := &replica{dir: filepath.Join(l.o.Dir, e.Name())}
		err := readJSON(filepath.Join(r.dir, runFile), &r.rec)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // not ours, or a start that got no further than this: nothing was spawned
		case err != nil || r.rec.ID != e.Name():
			l.log.Error("a replica's file cannot be read: what runs of it is killed", "dir", r.dir, "err", err)
			r.rec = l.rebuild(r.dir, e.Name())
		}
		l.replicas[r.rec.ID] = r
		r.mu.Lock()
		l.adopt(r)
		r.mu.Unlock()
	}
	return nil
}

// rebuild is what can be said of a replica whose record is damaged. It may not go on: nobody
// knows by which lease it runs.
func (l *Local) rebuild(dir, id string) record {
	var spec activities.ReplicaSpec
	_ = readJSON(filepath.Join(dir, specFile), &spec) // only its names, for the report
	rec := record{
		ID: id, Key: spec.Key, Revision: spec.Revision, Epoch: spec.Lease.Epoch, Node: l.o.Node,
		Begun: time.Now(), Boot: l.boot, Stopped: true, Killed: true, KillAt: time.Now(),
	}
	if l.cgroups != nil {
		if cgroup := l.cgroups.path(id); exists(cgroup) {
			rec.Cgroup = cgroup
		}
	}
	return rec
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// adopt goes on with one locked replica.
func (l *Local) adopt(r *replica) {
	rec := &r.rec
	switch {
	case !rec.begun() || !rec.Forgotten.IsZero():
		return // it only forbids a start
	case rec.Gone:
		l.post(r)
		return
	case rec.Boot != l.boot:
		l.finish(r, 0, false) // the machine restarted, and nothing outlives that
		return
	}
	if rec.PID == 0 {
		l.recognise(rec)
	}
	h, err := l.find(rec.agent())
	if err != nil {
		l.log.Info("the agent of a replica is gone: what it left is killed", "replica", rec.ID, "why", err)
		rec.dying = true
		l.post(r)
		l.wg.Go(func() { l.end(r, nil) })
		return
	}
	l.log.Info("adopted", "replica", rec.ID, "pid", rec.PID, "function", rec.Key.String())
	rec.Last = r.lastWord()
	l.watch(r, h)
	if rec.Stopped && time.Now().Before(rec.KillAt) { // the platform may have died before it had asked
		if err := h.signal(unix.SIGTERM); err != nil {
			l.log.Error("an agent was not asked to go: it is killed once its grace is over", "replica", rec.ID, "until", rec.KillAt, "err", err)
		}
	}
	l.post(r)
}

// recognise finds the agent of a replica whose platform died before it noted the process ID.
func (l *Local) recognise(rec *record) {
	if p, ok := l.procs.leader(rec.ID); ok {
		rec.PID, rec.Ticks = p.pid, p.ticks
	}
}

// find holds a process that still runs.
func (l *Local) find(p process) (*handle, error) {
	if p.pid == 0 {
		return nil, errors.New("it was never seen")
	}
	h, err := hold(p, -1)
	if err != nil {
		return nil, err
	}
	if !l.procs.alive(p) { // checked with the handle open
		h.close()
		return nil, fmt.Errorf("process %d has ended", p.pid)
	}
	return h, nil
}

// joinClose closes a provider that could not be opened.
func joinClose(err error, l *Local) error { return errors.Join(err, l.Close()) }
