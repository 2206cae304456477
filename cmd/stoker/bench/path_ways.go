package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// errAnswer is returned when an answer is not what the backend sends back.
var errAnswer = errors.New("wrong answer")

// class is what invoke and the HTTP door put a request in that names none.
const class = functions.Interactive

// headerRawReply carries the reply address past JetStream, which owns the message's own.
const headerRawReply = "Reply-To"

// way is one way to the backend, or to the raw worker that stands in for it.
type way struct {
	name string
	call func(context.Context, *caller) error
}

// ways are measured in this order, the derived figures' first.
func (w *pathWorld) allWays() []way {
	return []way{
		{wayDirect, w.direct},
		{wayRaw, w.raw},
		{wayStoker, w.invoke},
		{"publish", w.publish},
		{"http", w.door},
	}
}

// caller makes one request at a time.
type caller struct {
	number int
	inbox  *events.Subscription
	raw    *events.Subscription // the inbox of the raw way
	sent   int
}

// direct asks the backend itself.
func (w *pathWorld) direct(ctx context.Context, _ *caller) error { return w.post(ctx, w.backend) }

// door asks over the platform's HTTP port.
func (w *pathWorld) door(ctx context.Context, _ *caller) error { return w.post(ctx, w.functionURL()) }

func (w *pathWorld) post(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(w.payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || len(body) != len(w.payload)) {
		err = fmt.Errorf("%w: %s: %.200s", errAnswer, resp.Status, body)
	}
	return err
}

// raw stores a message and waits for what the raw worker replies.
func (w *pathWorld) raw(ctx context.Context, c *caller) error {
	m := &events.Msg{Subject: events.RequestSubject(rawKey, class), Header: events.Header{headerRawReply: {c.raw.Subject}}, Data: w.payload}
	if _, err := w.admin.JetStream().PublishMsg(ctx, m); err != nil {
		return err
	}
	got, err := c.raw.NextMsgWithContext(ctx)
	if err == nil && len(got.Data) != len(w.payload) {
		err = fmt.Errorf("%w: %.200s", errAnswer, got.Data)
	}
	return err
}

// invoke is what any NATS client does: one request with a bare payload, one answer.
func (w *pathWorld) invoke(ctx context.Context, _ *caller) error {
	got, err := w.client.Conn().RequestMsgWithContext(ctx, &events.Msg{Subject: events.InvokeSubject(pathKey), Data: w.payload})
	if err != nil {
		return err
	}
	return w.check(got)
}

// publish stores an event without the gateway, and waits for the reply.
func (w *pathWorld) publish(ctx context.Context, c *caller) error {
	c.sent++
	e := events.Event{
		ID: w.run + "-" + strconv.Itoa(c.number) + "-" + strconv.Itoa(c.sent), Source: "stoker-bench", Type: events.TypeRequest,
		DataContentType: "application/json", ReplyTo: c.inbox.Subject, Sync: true, Data: w.payload,
	}
	if _, err := w.client.Publish(ctx, e, pathKey, class); err != nil {
		return err
	}
	got, err := c.inbox.NextMsgWithContext(ctx)
	if err != nil {
		return err
	}
	return w.check(got)
}

// check reads a reply as a client without stoker's code would.
func (w *pathWorld) check(m *events.Msg) error {
	if status := m.Header.Get(events.HeaderStatus); status != string(events.StatusOK) || len(m.Data) != len(w.payload) {
		return fmt.Errorf("%w: status %q: %.200s", errAnswer, status, m.Data)
	}
	return nil
}
