package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// answer is one call's way back.
type answer struct {
	g     *Gateway
	call  call
	id    string // of the record
	again bool   // stored before: another caller gets the reply
	reply *events.Call
}

// collect waits for the whole answer.
func (a *answer) collect(ctx context.Context) (events.Record, *refusal) {
	rec, err := a.attempt(ctx)
	if err != nil {
		return events.Record{}, a.lost(ctx, err)
	}
	return rec, kept(a.call, a.id, rec)
}

// Why a wait for a reply ended before the reply came.
var (
	errLook     = errors.New("look for the record") // after [patience.look]
	errStopping = errors.New("the platform is stopping")
)

func (a *answer) attempt(ctx context.Context) (events.Record, error) {
	if a.again {
		return a.record(ctx)
	}
	return events.Collect(ctx, a.next)
}

// record waits for the record of a request that was stored before.
func (a *answer) record(ctx context.Context) (events.Record, error) {
	rec, err := a.g.Bus.WatchRecord(ctx, a.call.key, a.id, a.call.event.Source)
	rec.Copy = true
	return rec, err
}

// next is the next chunk of the reply. Where none comes for a while, the record tells
// whether the request has ended.
func (a *answer) next(ctx context.Context) (events.Chunk, error) {
	for {
		c, err := within(ctx, a.g.patience.look, a.reply.Next)
		if !errors.Is(err, errLook) {
			return c, err
		}
		rec, err := a.g.Bus.GetRecord(ctx, a.call.key, a.id, a.call.event.Source)
		if err != nil {
			continue // it has not ended, or the broker is away and comes back
		}
		c, err = within(ctx, a.g.patience.reply, a.reply.Next)
		if !errors.Is(err, errLook) {
			return c, err
		}
		rec.Copy = true // it is all there is from here on
		return events.Chunk{Final: &rec}, nil
	}
}

// within bounds one wait: its end is errLook, that of ctx is ctx's.
func within[T any](ctx context.Context, d time.Duration, f func(context.Context) (T, error)) (T, error) {
	short, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	v, err := f(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		err = errLook
	}
	return v, err
}

// kept tells of an answer that the record does not hold, and so nobody has any more: of an
// event that was sent twice, or of an agent that died before it replied.
func kept(c call, id string, rec events.Record) *refusal {
	whole := c.spec.Results.Record == functions.RecordWhole
	if !rec.Copy || whole || rec.Status != events.StatusOK || len(rec.Body) > 0 {
		return nil
	}
	return refuse(http.StatusGone, causeNotKept,
		fmt.Sprintf("request %s ended ok, but its answer went to the one who waited for it and is not kept", id),
		"set spec.results.record: whole, or send the request under a new id")
}

// lost is what a caller gets where the answer did not come.
func (a *answer) lost(ctx context.Context, err error) *refusal {
	where := "the record, once there is one: GET " + resultPath(a.call.key, a.id)
	switch {
	case errors.Is(context.Cause(ctx), errStopping):
		return refuse(http.StatusServiceUnavailable, causeDraining,
			"the platform is stopping; request "+a.id+" stays stored and runs once it is back", where).after(retrySoon)
	case ctx.Err() != nil:
		return refuse(http.StatusGatewayTimeout, events.CauseDeadline, "no answer came before the deadline of request "+a.id, where).expired()
	case errors.Is(err, events.ErrGap):
		return refuse(http.StatusBadGateway, causeLost, err.Error(), where)
	default:
		r := refusalOf(err)
		if r.Hint == "" {
			r.Hint = where
		}
		return r
	}
}
