package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"stoker.dev/stoker/e2e/history"
	"stoker.dev/stoker/events"
)

const (
	// ackWait is how long a publisher waits for the broker's word.
	ackWait = 4 * time.Second
	// again is how long one waits after a try of unknown outcome before it sends the same event again.
	again = 500 * time.Millisecond
	// most is how often it does so.
	most = 6
	// afterDeadline is how long a caller waits past its deadline for the answer "expired".
	afterDeadline = 5 * time.Second
)

// send takes a request to an outcome. Where that is unknown it sends the very same event again, as CloudEvents have
// it: one id and source is one event, however often it comes.
func (c *client) send(a ask) {
	for range most {
		c.noteSent(a)
		r := c.try(a)
		r.ID, r.Function = a.id, a.function.Name
		c.b.note(r)
		if r.Kind != history.Unknown || time.Until(a.deadline) < again {
			return
		}
		select {
		case <-time.After(again):
		case <-c.life.Done():
			return
		}
	}
}

// try is one try; it returns the outcome.
func (c *client) try(a ask) history.Record {
	switch a.via {
	case viaPublish:
		return c.publish(a)
	case viaInvoke:
		return c.invoke(a)
	default:
		return c.post(a)
	}
}

// attributes are the event's own, in the binary mode that NATS and HTTP share.
func (a ask) attributes(set func(name, value string)) {
	set("ce-specversion", "1.0")
	set("ce-id", a.id)
	set("ce-source", "/chaos")
	set("ce-type", "test.chaos.v1")
	set("ce-deadline", a.deadline.Format(time.RFC3339Nano))
	set("Content-Type", "application/json")
	set("Stoker-Class", string(a.class)) // invoke and HTTP; a publish has it in its subject
}

func (c *client) publish(a ask) history.Record {
	m := nats.NewMsg(events.RequestSubject(a.function, a.class))
	m.Data = a.body
	a.attributes(m.Header.Set)
	ctx, cancel := context.WithTimeout(c.life, ackWait)
	defer cancel()
	_, err := c.js.PublishMsg(ctx, m, jetstream.WithMsgID(a.function.Name+" "+a.id), jetstream.WithRetryAttempts(0))
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return history.Record{Kind: history.Acked}
	case errors.As(err, &refused), errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return history.Record{Kind: history.Refused, Cause: err.Error()}
	default:
		return history.Record{Kind: history.Unknown, Cause: err.Error()}
	}
}

func (c *client) invoke(a ask) history.Record {
	m := nats.NewMsg(events.InvokeSubject(a.function))
	m.Data = a.body
	a.attributes(m.Header.Set)
	ctx, cancel := context.WithDeadline(c.life, a.deadline.Add(afterDeadline))
	defer cancel()
	reply, err := c.nc.RequestMsgWithContext(ctx, m)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return history.Record{Kind: history.Refused, Cause: err.Error()}
	case err != nil:
		return history.Record{Kind: history.Unknown, Cause: err.Error()}
	}
	return outcome(reply.Header.Get, reply.Data)
}

func (c *client) post(a ask) history.Record {
	ctx, cancel := context.WithDeadline(c.life, a.deadline.Add(afterDeadline))
	defer cancel()
	url := *c.url.Load() + "/functions/" + a.function.String()
	if a.via == viaAsync {
		url += "?async=1"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(a.body))
	if err != nil {
		return history.Record{Kind: history.Refused, Cause: err.Error()}
	}
	a.attributes(req.Header.Set)
	resp, err := c.http.Do(req)
	if err != nil {
		return history.Record{Kind: history.Unknown, Cause: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return history.Record{Kind: history.Unknown, Cause: err.Error()}
	}
	if resp.StatusCode == http.StatusAccepted {
		return history.Record{Kind: history.Acked}
	}
	return outcome(resp.Header.Get, body)
}

// clearNo are the causes of refusals that come before anything is stored.
var clearNo = map[string]bool{
	events.CauseQueueFull: true, events.CauseCrashLoop: true, events.CauseDeleted: true, events.CauseBadRequest: true, "not-found": true,
}

// outcome reads an answer over NATS or HTTP: a copy of the terminal record, or a refusal, which names the request if
// that was stored before.
func outcome(header func(string) string, body []byte) history.Record {
	status, cause := header(events.HeaderStatus), header(events.HeaderCause)
	switch {
	case header(events.HeaderPublished) != "":
		attempt, _ := strconv.Atoi(header(events.HeaderAttempt)) // absent: 0
		return history.Record{Kind: history.Answered, Status: status, Cause: cause, Attempt: attempt, Nonce: nonceOf(status, body)}
	case header(events.HeaderID) != "":
		return history.Record{Kind: history.Acked, Cause: cause}
	case clearNo[cause] || status == string(events.StatusExpired):
		return history.Record{Kind: history.Refused, Cause: cause}
	default:
		return history.Record{Kind: history.Unknown, Cause: cause}
	}
}

// nonceOf is the request's mark in what the model server said; "" where the answer is not kept.
func nonceOf(status string, body []byte) string {
	var said struct {
		Echo string `json:"echo"`
	}
	var sent payload
	if status != string(events.StatusOK) || len(body) == 0 {
		return ""
	}
	if json.Unmarshal(body, &said) != nil || json.Unmarshal([]byte(said.Echo), &sent) != nil || sent.Nonce == "" {
		return "unreadable"
	}
	return sent.Nonce
}
