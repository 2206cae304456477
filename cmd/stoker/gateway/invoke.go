package gateway

import (
	"context"
	"net/http"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// onInvoke takes plain requests. The subscription's goroutine only hands them on.
func (g *Gateway) onInvoke(ctx context.Context) func(functions.Key, *events.Msg) {
	return func(k functions.Key, m *events.Msg) {
		if !events.ReplyAllowed(m.Reply) {
			// An error sent there would be a publish in somebody else's name. And an invoke that
			// wants no answer may be an acknowledgement that a publisher had sent here, into a
			// namespace that is closed to it: who wants none publishes to the function instead.
			g.Log.Warn("dropped an invoke whose reply subject is no inbox", "function", k.String(), "reply", clip(m.Reply))
			return
		}
		select {
		case g.invokes <- struct{}{}:
		default:
			g.answer(m, refuse(http.StatusServiceUnavailable, causeBusy, "too many requests are being stored at once", "try again").after(retrySoon))
			return
		}
		g.crew.do(func() {
			defer func() { <-g.invokes }()
			g.invoke(ctx, k, m)
		})
	}
}

// invoke stores a plain request with its caller's inbox as reply subject: the agent answers
// there, and the gateway only where it refuses.
func (g *Gateway) invoke(ctx context.Context, k functions.Key, m *events.Msg) {
	began := g.Now()
	c, refused := g.invokeCall(ctx, k, m)
	if refused == nil {
		refused = g.publish(ctx, &c)
	}
	g.metrics.done(c, viaInvoke, refused, events.Record{}, g.Now().Sub(began))
	if refused != nil {
		g.answer(m, refused)
	}
}

func (g *Gateway) invokeCall(ctx context.Context, k functions.Key, m *events.Msg) (call, *refusal) {
	if g.door.isClosed() {
		return call{}, draining()
	}
	c, refused := parse(m.Header, m.Data, "", g.Now())
	if refused != nil {
		return call{}, refused
	}
	c.key = k
	c.event.ReplyTo, c.event.Sync = m.Reply, true
	refused = g.admit(ctx, &c)
	return c, refused
}

// publish stores an invoke. One that was stored before has, or will have, a record: a copy of
// it is the answer, since the first caller's inbox gets the reply.
func (g *Gateway) publish(ctx context.Context, c *call) *refusal {
	ack, err := g.store(ctx, c)
	if err != nil {
		return refusalOf(err)
	}
	if !ack.Duplicate {
		return nil
	}
	go g.answerAgain(context.WithoutCancel(ctx), *c, ack.ID)
	return nil
}

// answerAgain waits for the record of a request that was stored before.
func (g *Gateway) answerAgain(ctx context.Context, c call, id string) {
	ctx, cancel := context.WithDeadline(ctx, g.deadline(c))
	defer cancel()
	if !g.wait() {
		return
	}
	defer g.waited()
	rec, err := g.Bus.WatchRecord(ctx, c.key, id, c.event.Source)
	if err == nil {
		rec.Copy = true
		if refused := kept(c, id, rec); refused != nil {
			err = g.Bus.Conn().PublishMsg(&events.Msg{Subject: c.event.ReplyTo, Header: refused.header(), Data: refused.body()})
		} else {
			err = g.Bus.Reply(c.event.ReplyTo, rec)
		}
	}
	if err != nil {
		g.Log.Debug("a request that was sent twice stays without its second answer", "id", id, "error", err)
	}
}

// answer refuses a plain request.
func (g *Gateway) answer(m *events.Msg, r *refusal) {
	if err := m.RespondMsg(&events.Msg{Header: r.header(), Data: r.body()}); err != nil {
		g.Log.Warn("refusal not sent", "subject", m.Subject, "error", err)
	}
}
