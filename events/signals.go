package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/functions"
)

// GatewayQueue is the queue group that answers invokes: one gateway takes each.
const GatewayQueue = "stoker-gateway"

// Beat sends a heartbeat.
func (b *Bus) Beat(k functions.Key, h Heartbeat) error {
	return b.publishJSON(HeartbeatSubject(k, h.Replica), h)
}

// OnHeartbeat calls f with the heartbeats of all replicas.
func (b *Bus) OnHeartbeat(f func(functions.Key, Heartbeat)) (*Subscription, error) {
	return b.subscribe(AllHeartbeats, func(m *nats.Msg) error {
		k, replica, err := ParseHeartbeat(m.Subject)
		if err != nil {
			return err
		}
		var h Heartbeat
		if err := json.Unmarshal(m.Data, &h); err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		h.Replica = replica // the subject is what the agent's permissions vouch for
		f(k, h)
		return nil
	})
}

// controlAnswer is what an agent says to an order.
type controlAnswer struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Said  string `json:"said,omitempty"` // what was asked for
}

// SendControl gives an order to the agent of a replica and waits for its answer. It returns
// [ErrNotFound] where no agent listens.
func (b *Bus) SendControl(ctx context.Context, k functions.Key, replica string, c Control) error {
	_, err := b.Ask(ctx, k, replica, c)
	return err
}

// Ask is [Bus.SendControl] for an order that is a question, and returns what the agent says.
func (b *Bus) Ask(ctx context.Context, k functions.Key, replica string, c Control) (string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	what := fmt.Sprintf("%s replica %s of %s", c.Op, replica, k)
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	m, err := b.nc.RequestWithContext(ctx, ControlSubject(k, replica), body)
	if errors.Is(err, nats.ErrNoResponders) {
		return "", fmt.Errorf("%w: %s: its agent does not listen", ErrNotFound, what)
	}
	if err != nil {
		return "", wrap(what, err)
	}
	var answer controlAnswer
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return "", fmt.Errorf("%s: answer: %w", what, err)
	}
	if !answer.OK {
		return "", fmt.Errorf("%s: refused: %s", what, answer.Error)
	}
	return answer.Said, nil
}

// OnControl takes orders for a replica's agent. What f says, or its error, is the answer; it must not block.
func (b *Bus) OnControl(k functions.Key, replica string, f func(Control) (string, error)) (*Subscription, error) {
	return b.subscribe(ControlSubject(k, replica), func(m *nats.Msg) error {
		var answer controlAnswer
		var c Control
		err := json.Unmarshal(m.Data, &c)
		if err == nil {
			answer.Said, err = f(c)
		}
		if answer.OK = err == nil; err != nil {
			answer = controlAnswer{Error: err.Error()}
		}
		body, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		return m.Respond(body)
	})
}

// Cancel tells the agents of a function that the caller of a request went away.
func (b *Bus) Cancel(k functions.Key, id string) error {
	return wrap("cancel "+id, b.nc.Publish(CancelSubject(k), []byte(id)))
}

// OnCancel calls f with the ids of a function's requests whose callers went away.
func (b *Bus) OnCancel(k functions.Key, f func(id string)) (*Subscription, error) {
	return b.subscribe(CancelSubject(k), func(m *nats.Msg) error {
		f(string(m.Data))
		return nil
	})
}

// OnInvoke calls f with the plain requests made of functions, each in a goroutine of the
// subscription: f must not block. Respond on the message; [ReplyHeader] makes the headers.
func (b *Bus) OnInvoke(f func(functions.Key, *Msg)) (*Subscription, error) {
	sub, err := b.nc.QueueSubscribe(AllInvokes, GatewayQueue, b.handler(func(m *nats.Msg) error {
		k, err := ParseInvoke(m.Subject)
		if err == nil {
			f(k, m)
		}
		return err
	}))
	return sub, wrap("subscribe to "+AllInvokes, err)
}

func (b *Bus) subscribe(subject string, f func(*nats.Msg) error) (*Subscription, error) {
	sub, err := b.nc.Subscribe(subject, b.handler(f))
	return sub, wrap("subscribe to "+subject, err)
}

// handler logs what a message's handler could not read: there is nobody to answer.
func (b *Bus) handler(f func(*nats.Msg) error) nats.MsgHandler {
	return func(m *nats.Msg) {
		if err := f(m); err != nil {
			b.log.Warn("dropped a message", "subject", m.Subject, "err", err)
		}
	}
}

func (b *Bus) publishJSON(subject string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	return wrap("publish to "+subject, b.nc.Publish(subject, data))
}
