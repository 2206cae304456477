package request

import (
	"context"
	"errors"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/meter"
	"stoker.dev/stoker/cmd/stoker-agent/proxy"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// The pause between two tries to write to a broker that is away or full. A slot that is
// held meanwhile is the pressure that keeps new requests in the queue.
const (
	firstWritePause = 50 * time.Millisecond
	lastWritePause  = 5 * time.Second
)

// end writes the record, acknowledges, and replies, in this order. Without a record the
// request is not acknowledged, and delivered again.
func (j *job) end(rec events.Record) {
	rec.Attempt = j.failures + 1
	rec.Revision, rec.Replica = j.h.Config.Revision, j.h.Config.Replica
	rec.Started, rec.Ended = j.began.UTC(), time.Now().UTC()
	kept, err := j.write(rec)
	if err != nil {
		j.h.Log.Error("no terminal record written; the request will be delivered again", "id", rec.ID, "err", err)
		j.giveBack(lastWritePause)
		return
	}
	j.acknowledge()
	j.reply(kept)
	if j.counted {
		j.forget()
	}
}

// write keeps the record, and returns what the reply is a copy of: the record with the
// whole answer, or the record that was there before.
func (j *job) write(rec events.Record) (events.Record, error) {
	kept := rec
	if !keepsBody(j.h.Config.Spec.Results.Record, j.req.Event.Sync, rec.Status) {
		kept.Body = nil
	}
	err := j.insist(func(ctx context.Context) (err error) {
		kept, err = j.h.Bus.WriteRecord(ctx, kept, j.h.Config.Spec.Results.Retention.D())
		return err
	})
	if errors.Is(err, events.ErrRecordExists) {
		kept.Copy = true
		return kept, nil
	}
	rec.ID = kept.ID
	return rec, err
}

// insist repeats a call until it worked, cannot work, or life ends. While the broker is away it
// waits for it, so that what waits here is written the moment it is back.
func (j *job) insist(do func(context.Context) error) error {
	for pause := firstWritePause; ; pause = min(2*pause, lastWritePause) {
		if err := j.h.Bus.WaitConnected(j.life); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(j.life, events.CallTimeout)
		err := do(ctx)
		cancel()
		if err == nil || hopeless(err) {
			return err
		}
		j.h.Log.Warn("broker did not take it, trying again", "id", j.req.RecordID(), "in", pause, "err", err)
		select {
		case <-time.After(pause):
		case <-j.life.Done():
			return err
		}
	}
}

// hopeless tells errors that another try cannot change.
func hopeless(err error) bool {
	return errors.Is(err, events.ErrRecordExists) || errors.Is(err, events.ErrConflict) ||
		errors.Is(err, events.ErrTooLarge) || errors.Is(err, events.ErrMalformed)
}

// acknowledge sends the acknowledgement and does not wait for the broker's word that it has it:
// the reply that follows on the same connection stays behind it. Lost, it costs a delivery that
// finds the record.
func (j *job) acknowledge() {
	if err := j.d.AckNoWait(); err != nil {
		j.h.Log.Warn("request not acknowledged; its record is written", "id", j.req.RecordID(), "err", err)
	}
}

func (j *job) reply(rec events.Record) {
	var err error
	switch {
	case j.answer.chunks != nil:
		err = j.answer.chunks.Close(rec)
	case j.req.Event.ReplyTo != "":
		err = j.h.Bus.Reply(j.req.Event.ReplyTo, rec)
	}
	if err != nil {
		j.h.Log.Warn("reply not sent; its record is written", "id", rec.ID, "err", err)
	}
}

func (j *job) forget() {
	ctx, cancel := context.WithTimeout(j.life, events.CallTimeout)
	defer cancel()
	if err := j.h.Bus.ForgetAttempts(ctx, j.req.Key, j.req.Stream, j.req.Seq); err != nil {
		j.h.Log.Debug("failures not forgotten; the bucket does so by itself", "err", err)
	}
}

// fail counts a failed attempt, and gives the request back or buries it. A request of a
// dead server goes elsewhere at once; the others wait out the backoff.
func (j *job) fail(a proxy.Answer) meter.Outcome {
	queue := j.h.Config.Spec.Queue
	crashed := a.Broken && j.h.crashed()
	if crashed {
		j.h.OnGone()
		if j.h.blameless(a) {
			j.giveBack(0)
			return meter.Other
		}
		a.Cause, a.Message = j.h.Cause(), "the model server died: "+a.Message
	}
	counted := events.Attempts{Cause: a.Cause, Message: a.Message, At: time.Now().UTC(), Replica: j.h.Config.Replica}
	err := j.insist(func(ctx context.Context) (err error) {
		last := counted
		counted, err = j.h.Bus.CountFailure(ctx, j.req.Key, j.req.Stream, j.req.Seq, last)
		if err != nil {
			counted = last
		}
		return err
	})
	switch {
	case err != nil:
		j.h.Log.Error("failure not counted", "id", j.req.RecordID(), "err", err)
		j.giveBack(queue.Backoff.Max.D())
	case counted.Failures >= queue.Attempts:
		j.bury(counted)
	case crashed:
		j.giveBack(0)
	default:
		j.giveBack(backoff(queue.Backoff, counted.Failures))
	}
	return meter.Failed
}

// blameless tells whether an attempt that a dead server broke counts for nothing: the server was
// taken away, or was found dead by this request. That it is dead shows late where it is not our
// child, and meanwhile requests are pulled.
func (h *Handler) blameless(a proxy.Answer) bool {
	return h.Leaving() || h.Config.Attach && a.Unsent
}

// backoff is the pause after so many failures: initial, doubled each time, at most max.
func backoff(b functions.Backoff, failures int) time.Duration {
	pause := b.Initial.D()
	for range failures - 1 {
		if pause > b.Max.D()-pause { // doubling could overflow
			return b.Max.D()
		}
		pause *= 2
	}
	return min(pause, b.Max.D())
}

// bury ends a request whose attempts are spent.
func (j *job) bury(a events.Attempts) {
	err := j.insist(func(ctx context.Context) error { return j.h.Bus.Bury(ctx, j.req, a) })
	if err != nil {
		j.h.Log.Error("dead letter not written; the request will be delivered again", "id", j.req.RecordID(), "err", err)
		j.giveBack(lastWritePause)
		return
	}
	j.failures, j.counted = a.Failures-1, true
	j.end(j.req.Record(events.StatusError, events.CauseAttemptsSpent, a.Cause+": "+a.Message))
}
