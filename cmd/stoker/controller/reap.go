package controller

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// reapBatch bounds how many requests of one class are ended in one go, so that a long queue does
// not hold the other classes up; the next reconcile goes on. Looking at one costs some 60 µs,
// and a class holds at most events.QueueCeiling.
const reapBatch = 2000

// walkEvery is how long a walk through a queue that nobody pulls from is good for, and so how
// late an expired request may be answered: a request that came after the walk can have a
// deadline before all those that were seen.
const walkEvery = 10 * time.Second

// stuckAfter is how long requests may wait while ready agents have nothing in flight before the controller looks
// why: longer than the broker keeps a request for an agent that died with it.
const stuckAfter = 2 * events.AckWait

// verdict is why the controller ends a request that no agent will.
type verdict struct {
	status     events.Status
	cause      string
	message    string
	retryAfter time.Duration
}

// reap ends what no agent will end: everything of a function that is being deleted or keeps
// crashing, what is past its deadline where nobody pulls, what is over the queue's depth, and what
// has ended already and lies in the queue all the same.
func (c *Controller) reap(f *function) {
	if f.reaping || sum(f.counts) == 0 {
		return
	}
	job := f.reapJob()
	stuck := f.stuck(c.Now())
	job.deadlines = stuck || job.deadlines && f.walkDue(c.Wall())
	switch {
	case stuck:
		job.ended = c.Wall()
	case !f.searched:
		job.ended = c.began
	}
	if !job.needed() {
		return
	}
	f.reaping, f.searched = true, true
	c.box.Outside(func(ctx context.Context) {
		n, err := job.run(ctx, c)
		next := job.nextWalk(c.Wall(), n)
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("queue not reaped to its end", "function", job.key.String(), "finished", n, "error", err)
		}
		c.metrics.Finished.Add(uint64(n))
		c.box.Post(func() {
			f.reaping = false
			f.searched = f.searched && (err == nil || job.ended.IsZero())
			if job.deadlines {
				f.walkAt = next
			}
			if job.failing {
				f.refused += n
			}
			c.finishDelete(f)
		})
	})
}

// walkDue tells whether deadlines are to be looked at. A moment that is further away than any
// walk is good for was set before the clock went back.
func (f *function) walkDue(now time.Time) bool {
	return !now.Before(f.walkAt) || f.walkAt.Sub(now) > walkEvery
}

// reapJob is a copy of what the work beside the loop needs.
type reapJob struct {
	key       functions.Key
	shard     int
	spec      functions.Spec
	revision  string
	counts    map[functions.Class]int
	excess    map[functions.Class]int // how many of each class are over what may wait
	room      map[functions.Class]int // how many of each class may wait
	all       *verdict                // set: everything ends so
	failing   bool                    // because replicas keep crashing
	deadlines bool                    // nobody pulls, so deadlines are looked at here
	ended     time.Time               // set: of what was stored before it, requests that have their record are looked for
	now       func() time.Time
	earliest  time.Time // deadline seen and not passed yet
}

func (f *function) reapJob() *reapJob {
	spec := f.rec.Function.Spec
	j := &reapJob{key: f.key, shard: f.rec.Shard, spec: spec, revision: f.rec.Revision, counts: maps.Clone(f.counts), deadlines: !f.hasReady()}
	switch last := f.stored.State.Last; {
	case f.rec.Deleting:
		j.all = &verdict{status: events.StatusError, cause: events.CauseDeleted, message: "function " + f.key.String() + " is deleted"}
	case last.Phase == scale.PhaseFailing:
		j.all, j.failing = f.failFast(), true
	}
	waiting := f.waiting()
	j.excess, j.room = scale.Excess(waiting, spec), map[functions.Class]int{}
	for class, n := range waiting {
		j.room[class] = n - j.excess[class]
	}
	return j
}

// failFast is the answer of a function whose replicas keep crashing.
func (f *function) failFast() *verdict {
	v := &verdict{status: events.StatusError, cause: events.CauseCrashLoop, message: "replicas of " + f.key.String() + " keep failing"}
	if x := f.stored.Failure; x != nil {
		v.message += ": " + x.Summary()
	}
	v.retryAfter = time.Duration(f.stored.State.Last.Inputs.BackoffSec * float64(time.Second))
	return v
}

func (j *reapJob) needed() bool {
	return j.all != nil || j.deadlines || !j.ended.IsZero() || sum(j.excess) > 0
}

func (j *reapJob) run(ctx context.Context, c *Controller) (int, error) {
	j.now = c.Wall
	done := 0
	for _, class := range functions.Classes() {
		if j.counts[class] == 0 {
			continue
		}
		n, err := j.class(ctx, c, class)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// class walks the stored requests of one class, oldest first. The excess is what stands at the
// end, so those are the newest.
func (j *reapJob) class(ctx context.Context, c *Controller, class functions.Class) (int, error) {
	keep, last := j.counts[class]-j.excess[class], j.counts[class]
	done, from := 0, uint64(1)
	var kept []uint64 // numbers of the requests that were walked past
	for i := 0; i < events.QueueCeiling && done < reapBatch; i++ {
		r, err := c.Bus.Peek(ctx, j.shard, j.key, class, from)
		if errors.Is(err, events.ErrNoRequest) {
			return done, nil
		}
		if err != nil && !errors.Is(err, events.ErrMalformed) {
			return done, err
		}
		if !j.more(class, r) {
			return done, nil
		}
		from = r.Seq + 1
		if removed, err := c.clean(ctx, j, r); err != nil {
			return done, err
		} else if removed {
			done++
			continue
		}
		v := j.verdict(r)
		if v == nil && i >= keep && i < last { // what came since the count is not over it
			if v, err = j.shed(ctx, c, r, kept); err != nil {
				return done, err
			}
		}
		if v == nil {
			kept = append(kept, r.Seq)
			continue
		}
		if err := c.finish(ctx, j, r, *v); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// shed looks again right before a request is shed, behind those that were kept: since it was counted, agents may have
// taken it, or so many others that it may wait. Those that an agent gave back to be tried again do not count as waiting.
func (j *reapJob) shed(ctx context.Context, c *Controller, r events.Request, kept []uint64) (*verdict, error) {
	taken, err := c.Bus.Delivered(ctx, j.key, j.shard, r.Class)
	first, _ := slices.BinarySearch(kept, taken+1)
	if err != nil || r.Seq <= taken || len(kept)-first < j.room[r.Class] {
		return nil, err
	}
	return &verdict{
		status: events.StatusShed, cause: events.CauseQueueFull, retryAfter: time.Second,
		message: "the queue of class " + string(r.Class) + " is full",
	}, nil
}

// more tells whether a walk has anything to look for at a request or behind it; they are stored in order.
func (j *reapJob) more(class functions.Class, r events.Request) bool {
	return j.all != nil || j.deadlines || j.excess[class] > 0 || r.Stored.Before(j.ended)
}

// stuck tells, once per [stuckAfter], that requests have waited that long while agents that are ready have nothing in
// flight.
func (f *function) stuck(now time.Time) bool {
	if !f.hasReady() || f.inFlight() > 0 {
		f.idleAt = time.Time{}
		return false
	}
	if f.idleAt.IsZero() {
		f.idleAt = now
	}
	if now.Sub(f.idleAt) < stuckAfter {
		return false
	}
	f.idleAt = now
	return true
}

// clean removes a request that has its record. A broker that is killed may have kept that a request was acknowledged
// and lost that it was removed: it then delivers the request to nobody and keeps it for ever, and with it the
// function awake.
func (c *Controller) clean(ctx context.Context, j *reapJob, r events.Request) (bool, error) {
	if !r.Stored.Before(j.ended) || j.all != nil { // what ends anyway finds its record then
		return false, nil
	}
	if ended, err := c.Bus.Ended(ctx, r); !ended || err != nil {
		return false, err
	}
	c.Log.Info("a request that has ended was still in the queue", "function", r.Key.String(), "id", r.RecordID())
	return true, c.Bus.Remove(ctx, j.shard, r.Seq)
}

func (j *reapJob) verdict(r events.Request) *verdict {
	switch {
	case j.all != nil:
		return j.all
	case j.deadlines && j.passed(r.Deadline(j.spec.Queue)):
		return &verdict{status: events.StatusExpired, cause: events.CauseDeadline, message: "the deadline passed before a replica took the request"}
	}
	return nil
}

// passed tells whether a deadline is over, and remembers the next one that will be.
func (j *reapJob) passed(deadline time.Time) bool {
	if deadline.IsZero() {
		return false // it never is
	}
	if !j.now().Before(deadline) {
		return true
	}
	if j.earliest.IsZero() || deadline.Before(j.earliest) {
		j.earliest = deadline
	}
	return false
}

// nextWalk is when deadlines are worth looking at again, after a walk that ended n requests.
func (j *reapJob) nextWalk(now time.Time, n int) time.Time {
	next := now.Add(walkEvery)
	if n >= reapBatch {
		return now // it was cut short
	}
	if !j.earliest.IsZero() && j.earliest.Before(next) {
		return j.earliest
	}
	return next
}

// finish ends a request that no agent will, in the order agents keep: record, removal, reply. A
// request that has its record already is answered with that one.
func (c *Controller) finish(ctx context.Context, j *reapJob, r events.Request, v verdict) error {
	rec := r.Record(v.status, v.cause, v.message)
	rec.Revision, rec.Ended, rec.RetryAfter = j.revision, j.now(), int(v.retryAfter.Seconds())
	rec, err := c.Bus.WriteRecord(ctx, rec, j.spec.Results.Retention.D())
	if err != nil && !errors.Is(err, events.ErrRecordExists) {
		return err
	}
	if err := c.Bus.Remove(ctx, j.shard, r.Seq); err != nil {
		return err
	}
	if r.Event.ReplyTo == "" {
		return nil
	}
	return c.Bus.Reply(r.Event.ReplyTo, rec)
}
