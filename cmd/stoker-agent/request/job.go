package request

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stoker.dev/stoker/cmd/stoker-agent/meter"
	"stoker.dev/stoker/cmd/stoker-agent/proxy"
	"stoker.dev/stoker/events"
)

// job is one delivery of one request.
type job struct {
	h     *Handler
	d     *events.Delivery
	life  context.Context //nolint:containedctx // 2026-11-23: bounds what is written after the work
	began time.Time

	req      events.Request
	cancel   context.CancelCauseFunc
	failures int           // of earlier attempts
	counted  bool          // the bucket of failures knows this request
	service  time.Duration // the model server's part
	answer   answer        // what it said
}

func (j *job) run(ctx context.Context) meter.Outcome {
	if j.d.Delivered > 1 && j.endedBefore() {
		return meter.Other
	}
	if j.d.Malformed != nil {
		j.end(j.req.Record(events.StatusError, events.CauseBadRequest, j.d.Malformed.Error()))
		return meter.Other
	}
	if deadline := j.req.Deadline(j.h.Config.Spec.Queue); !deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, deadline, errDeadline)
		defer stop()
	}
	if ctx.Err() != nil {
		return j.givenUp(context.Cause(ctx))
	}
	return j.judge(ctx, j.try(ctx))
}

// endedBefore finishes a request that has its record already: whoever wrote it died before
// the broker or the caller knew.
func (j *job) endedBefore() bool {
	ctx, cancel := context.WithTimeout(j.life, events.CallTimeout)
	defer cancel()
	rec, err := j.h.Bus.GetRecord(ctx, j.req.Key, j.req.RecordID(), j.req.Event.Source)
	if err == nil {
		rec.Copy = true
		j.acknowledge()
		j.reply(rec)
		return true
	}
	if !errors.Is(err, events.ErrNotFound) {
		j.h.Log.Warn("record not read; trying the request, its record decides", "id", j.req.RecordID(), "err", err)
	}
	attempts, err := j.h.Bus.Attempts(ctx, j.req.Key, j.req.Stream, j.req.Seq)
	if err != nil {
		j.h.Log.Warn("failures not read; taking this for the first attempt", "id", j.req.RecordID(), "err", err)
	}
	j.failures, j.counted = attempts.Failures, attempts.Failures > 0
	return false
}

// try puts the request to the model server.
func (j *job) try(ctx context.Context) proxy.Answer {
	j.answer = answer{limit: j.h.bodyLimit(), keep: keepsBody(j.h.Config.Spec.Results.Record, j.req.Event.Sync, events.StatusOK)}
	if j.req.Event.Stream && j.req.Event.ReplyTo != "" {
		// The number of deliveries, not of failures: it grows when an agent is killed, too.
		w, err := j.h.Bus.NewChunkWriter(j.req.Event.ReplyTo, j.req.RecordID(), j.d.Delivered)
		if err != nil {
			j.h.Log.Warn("stream not begun; the answer comes in one piece", "id", j.req.RecordID(), "err", err)
		}
		j.answer.chunks = w
	}
	began := time.Now()
	got := j.h.Proxy.Do(ctx, proxy.Call{
		Event:     j.req.Event,
		Limit:     j.answer.limit,
		FirstByte: func() { j.h.Meter.FirstByte(time.Now()) },
		Chunk:     j.answer.add,
	})
	j.service = time.Since(began)
	j.h.Meter.Tokens(got.Usage.In, got.Usage.Out)
	return got
}

// judge ends the request, or gives it back, by what came of the try. An answer counts even
// if it came while the work was being given up.
func (j *job) judge(ctx context.Context, a proxy.Answer) meter.Outcome {
	switch {
	case a.Verdict == proxy.Answered:
		j.end(j.result(a))
		return meter.Served
	case ctx.Err() != nil:
		return j.givenUp(context.Cause(ctx))
	case a.Verdict == proxy.Refused:
		rec := j.req.Record(events.StatusError, a.Cause, a.Message)
		rec.Body, rec.ContentType, rec.Backend = a.Body, a.ContentType, a.Status
		j.end(rec)
		return meter.Other
	default:
		return j.fail(a)
	}
}

// givenUp ends a request whose context ended.
func (j *job) givenUp(cause error) meter.Outcome {
	switch {
	case errors.Is(cause, errCancelled):
		j.end(j.req.Record(events.StatusError, events.CauseCancelled, cause.Error()))
		return meter.Other
	case errors.Is(cause, errDeadline):
		j.end(j.req.Record(events.StatusExpired, events.CauseDeadline,
			fmt.Sprintf("the deadline passed %s after the request was stored", time.Since(j.req.Stored).Round(time.Millisecond))))
		return meter.Expired
	default:
		j.giveBack(0)
		return meter.Other
	}
}

// result is the record of an answer.
func (j *job) result(a proxy.Answer) events.Record {
	rec := j.req.Record(events.StatusOK, "", "")
	rec.ContentType, rec.Body = a.ContentType, a.Body
	if a.Body == nil {
		rec.Body, rec.Message = j.answer.whole()
	}
	return rec
}

func (j *job) giveBack(delay time.Duration) {
	if err := j.d.GiveBack(delay); err != nil {
		j.h.Log.Warn("request not given back; the broker takes it after its ack wait", "id", j.req.RecordID(), "err", err)
	}
}
