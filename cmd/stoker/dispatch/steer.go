package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"stoker.dev/stoker/activities"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
	"stoker.dev/stoker/workflows"
)

// steerPatience bounds one order of a person.
const steerPatience = 10 * time.Second

// orders are what people may do, what the job is told, and in which phases that means something.
var orders = map[api.JobOp]struct {
	kind      job.Kind
	ok        func(job.Phase) bool
	otherwise string
}{
	api.JobCancel:     {job.Cancel, func(p job.Phase) bool { return !p.Terminal() }, "it is at its end already"},
	api.JobPause:      {job.Pause, func(p job.Phase) bool { return !p.Terminal() }, "it is at its end already"},
	api.JobResume:     {job.Resume, func(p job.Phase) bool { return p == job.Paused || p == job.Draining }, "only a paused job can go on"},
	api.JobCheckpoint: {job.Save, job.Phase.Trains, "only a job that trains can save its work"},
}

// Steer implements [api.Jobs].
func (d *Dispatcher) Steer(ctx context.Context, k functions.Key, op api.JobOp) error {
	o, known := orders[op]
	if !known {
		return &api.Error{Code: 400, Cause: "bad-request", Message: fmt.Sprintf("op %q is unknown, allowed: %v", op, api.JobOps())}
	}
	var phase job.Phase
	var uid string
	var taken bool
	err := d.with(ctx, k, func(e *entry) error {
		phase, uid = e.Life.Phase, e.rec.UID
		if taken = e.unstarted && o.ok(phase); taken { // its workflow begins with that
			e.tellLater(job.Event{Kind: o.kind})
			d.tell(e)
		}
		return nil
	})
	if err != nil || taken {
		return err
	}
	if !o.ok(phase) {
		return &api.Error{Code: 409, Cause: "conflict", Message: fmt.Sprintf("job %s is %s: %s", k, phase, o.otherwise)}
	}
	ctx, cancel := context.WithTimeout(ctx, steerPatience)
	defer cancel()
	st, err := d.Workflows.Tell(ctx, k, workflows.Tell{UID: uid, Events: []job.Event{{Kind: o.kind}}})
	if errors.Is(err, workflows.ErrNotRunning) {
		return &api.Error{Code: 409, Cause: "conflict", Message: fmt.Sprintf("job %s has come to its end meanwhile", k)}
	}
	if err != nil {
		return err
	}
	if len(st.Refused) > 0 {
		return &api.Error{Code: 409, Cause: "conflict", Message: st.Refused[0]}
	}
	return nil
}

// Remove implements [api.Jobs].
func (d *Dispatcher) Remove(ctx context.Context, k functions.Key) error {
	var going *entry
	var rec events.JobRecord
	var recRev, rev uint64
	err := d.with(ctx, k, func(e *entry) error {
		if e.live() {
			return &api.Error{Code: 409, Cause: "conflict", Message: fmt.Sprintf("job %s is %s", k, e.Life.Phase), Hint: "cancel it first: `stoker job cancel " + k.String() + "`"}
		}
		e.rec.Deleting = true
		going, rec, recRev, rev = e, e.rec, e.recRev, e.rev
		return nil
	})
	if err != nil {
		return err
	}
	err = d.erase(context.WithoutCancel(ctx), rec, recRev, rev)
	called := d.box.Call(context.WithoutCancel(ctx), func() {
		if err == nil {
			delete(d.jobs, k)
		}
		going.rec.Deleting = false
	})
	return errors.Join(err, called)
}

// erase removes what the platform keeps of a job. That it is to go is written down first, so that a start
// in between finishes it; the record goes last.
func (d *Dispatcher) erase(ctx context.Context, rec events.JobRecord, recRev, rev uint64) error {
	k := rec.Job.Key()
	recRev, err := d.Records.Put(ctx, events.StateKey(k), rec, recRev)
	if err != nil {
		return fmt.Errorf("forget job %s: %w", k, err)
	}
	if err := d.Checkpoints.Erase(rec); err != nil {
		return err
	}
	if rev > 0 {
		if err := d.State.Delete(ctx, events.StateKey(k), rev); err != nil && !errors.Is(err, events.ErrNotFound) && !errors.Is(err, events.ErrConflict) {
			return fmt.Errorf("forget the state of job %s: %w", k, err)
		}
	}
	if err := d.Records.Delete(ctx, events.StateKey(k), recRev); err != nil && !errors.Is(err, events.ErrNotFound) {
		return fmt.Errorf("forget job %s: %w", k, err)
	}
	return nil
}

// JobLogs implements [api.Jobs].
func (d *Dispatcher) JobLogs(ctx context.Context, k functions.Key, n int, o activities.LogOptions) (io.ReadCloser, error) {
	var id string
	err := d.with(ctx, k, func(e *entry) (err error) {
		id, err = e.logsOf(n)
		return err
	})
	if err != nil {
		return nil, err
	}
	o.Key = events.RankKey(k)
	r, err := d.Provider.Logs(ctx, id, o)
	if errors.Is(err, activities.ErrNoReplica) {
		return nil, &api.Error{Code: 404, Cause: "not-found", Message: fmt.Sprintf("no output of rank %d of job %s is kept", n, k)}
	}
	return r, err
}

// logsOf is the rank of the newest gang that was placed.
func (e *entry) logsOf(n int) (string, error) {
	k := e.key
	if len(e.Attempts) == 0 {
		return "", &api.Error{Code: 409, Cause: "conflict", Message: fmt.Sprintf("job %s has not run yet", k), Hint: "`stoker job explain " + k.String() + "` says why"}
	}
	a := e.Attempts[len(e.Attempts)-1]
	if n < 0 || n >= a.Nodes {
		return "", &api.Error{Code: 404, Cause: "not-found", Message: fmt.Sprintf("job %s has no rank %d, allowed: 0 to %d", k, n, a.Nodes-1)}
	}
	return e.gang(a.Generation, a.Nodes).RankID(n), nil
}
