package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

const invokeSubject = "stoker.invoke.default.tinylm"

// client is a stock NATS client on a connection of its own.
func (w *world) client() *nats.Conn { return eventstest.Connect(w.t, w.url) }

func request(t testing.TB, nc *nats.Conn, subject string, h nats.Header, body string) *nats.Msg {
	t.Helper()
	m, err := nc.RequestMsg(&nats.Msg{Subject: subject, Header: h, Data: []byte(body)}, inTime)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestInvokeWithAStockClient(t *testing.T) {
	w := newWorld(t)
	w.run()
	seen := make(chan events.Request, 1)
	w.serve(fn, func(r events.Request) (string, []byte) { seen <- r; return echo(r) })
	nc := w.client()
	m := request(t, nc, invokeSubject, nil, `{"prompt":"hi"}`)
	if string(m.Data) != `{"prompt":"hi"}` || m.Header.Get("Stoker-Status") != "ok" || m.Header.Get("Stoker-Id") == "" || m.Header.Get("Nats-Service-Error-Code") != "" {
		t.Errorf("%q %v", m.Data, m.Header)
	}
	r := next(t, "the request", seen)
	if r.Class != functions.Interactive || !r.Event.Sync || r.Event.Source != events.SourceBare || r.Event.DataContentType != "application/json" || !strings.HasPrefix(r.Event.ReplyTo, "_INBOX.") {
		t.Errorf("%s %+v", r.Class, r.Event)
	}
	request(t, nc, invokeSubject, nats.Header{"Stoker-Class": {"batch"}, "Stoker-Timeout": {"1m"}, "Stoker-Id": {"mine"}}, "x")
	if r := next(t, "the second request", seen); r.Class != functions.Batch || r.Event.ID != "mine" || time.Until(r.Event.Deadline) > time.Minute || r.Event.Deadline.IsZero() {
		t.Errorf("%s %+v", r.Class, r.Event)
	}
	request(t, nc, invokeSubject, nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"e1"}, "ce-source": {"s"}, "ce-type": {"t"}, "ce-class": {"standard"}, "ce-replyto": {"_INBOX.other"},
	}, "x")
	if r := next(t, "the event", seen); r.Class != functions.Standard || r.Event.ID != "e1" || r.Event.ReplyTo == "_INBOX.other" || r.Event.Extensions["class"] != "" {
		t.Errorf("%s %+v", r.Class, r.Event)
	}
}

// TestInvokeRefusals are shown by stock clients: NATS micro's headers, and a JSON body.
func TestInvokeRefusals(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.deploy(functions.Key{Namespace: "default", Name: "broken"}, func(a *api.Admission) {
		a.Failing, a.RetryAfterSeconds = &api.Failure{Cause: "never-ready", Message: "probe\nanswered 500"}, 8
	})
	w.deploy(functions.Key{Namespace: "default", Name: "full"}, func(a *api.Admission) {
		a.Spec.Queue.Depth.Interactive, a.Spec.Overload.Shed = 1, []functions.Class{}
	})
	_, err := w.bus.Publish(w.ctx(), events.Event{Data: []byte("x")}, functions.Key{Namespace: "default", Name: "full"}, functions.Interactive)
	must(t, err)
	nc := w.client()
	for _, c := range []struct {
		subject string
		header  nats.Header
		code    int
		status  string
		retry   bool
		says    string
	}{
		{"stoker.invoke.default.tinyml", nil, 404, "error", false, "did you mean default/tinylm?"},
		{"stoker.invoke.default.broken", nil, 503, "error", true, "answered 500"},
		{"stoker.invoke.default.full", nil, 429, "shed", true, "1 requests of class interactive wait, 1 may"},
		{invokeSubject, nats.Header{"Stoker-Class": {"soon"}}, 400, "error", false, "interactive, standard, batch"},
		{invokeSubject, nats.Header{"ce-id": {"1"}}, 400, "error", false, "specversion"},
		{invokeSubject, nats.Header{"Stoker-Deadline": {"2020-01-01T00:00:00Z"}}, 504, "expired", false, "passed already"},
	} {
		m := request(t, nc, c.subject, c.header, "x")
		e := readFailure(t, string(m.Data))
		if m.Header.Get("Nats-Service-Error-Code") != strconv.Itoa(c.code) || e.Code != c.code || m.Header.Get("Stoker-Status") != c.status ||
			m.Header.Get("Nats-Service-Error") == "" || m.Header.Get("Stoker-Cause") != e.Cause || !strings.Contains(e.Message+e.Hint, c.says) {
			t.Errorf("%s: %v %s", c.subject, m.Header, m.Data)
		}
		if retry := m.Header.Get("Retry-After"); (retry != "") != c.retry || (c.retry && retry != strconv.Itoa(e.RetryAfter)) {
			t.Errorf("%s: Retry-After %q, %+v", c.subject, retry, e)
		}
	}
}

func TestInvokeWhileDraining(t *testing.T) {
	w := newWorld(t)
	w.run()
	must(t, w.gateway.Drain(w.ctx()))
	m := request(t, w.client(), invokeSubject, nil, "x")
	if m.Header.Get("Nats-Service-Error-Code") != "503" || m.Header.Get("Retry-After") == "" {
		t.Errorf("%v", m.Header)
	}
}

// TestInvokeIsNobodysDeputy: nothing is sent to a reply subject that is no inbox, not even an error.
func TestInvokeIsNobodysDeputy(t *testing.T) {
	w := newWorld(t)
	w.run()
	nc := w.client()
	const target = "stoker.fn.default.tinylm.batch"
	for _, subject := range []string{invokeSubject, "stoker.invoke.default.none"} {
		must(t, nc.PublishRequest(subject, target, []byte("x")))
	}
	if m := request(t, nc, "stoker.invoke.default.none", nil, "x"); m.Header.Get("Nats-Service-Error-Code") != "404" {
		t.Errorf("%v", m.Header) // it was handled after the other two
	}
	if pending, err := w.bus.PendingOf(w.ctx(), fn, testShard); err != nil || len(pending) != 0 {
		t.Errorf("stored %v, %v", pending, err)
	}
}

// TestInvokedTwice: the second caller gets a copy of the record, or is told that the record
// does not hold the answer.
func TestInvokedTwice(t *testing.T) {
	for _, whole := range []bool{true, false} {
		w := newWorld(t)
		w.run()
		w.deploy(fn, func(a *api.Admission) {
			if whole {
				a.Spec.Results.Record = functions.RecordWhole
			}
		})
		a := w.agent(fn, func(a *agent, d *events.Delivery) {
			rec := d.Request.Record(events.StatusOK, "", "")
			rec.Body = d.Request.Event.Data
			if whole {
				d.Request.Event.Sync = false // keeps the answer, as the manifest says
			}
			a.end(d, rec, nil)
		})
		nc, h := w.client(), nats.Header{"Stoker-Id": {"same"}}
		if m := request(t, nc, invokeSubject, h, "x"); string(m.Data) != "x" {
			t.Errorf("whole %t: %q %v", whole, m.Data, m.Header)
		}
		m := request(t, nc, invokeSubject, h, "x")
		if whole && (string(m.Data) != "x" || m.Header.Get("Stoker-Copy") != "true") || !whole && m.Header.Get("Nats-Service-Error-Code") != "410" {
			t.Errorf("whole %t, again: %q %v", whole, m.Data, m.Header)
		}
		if n := a.served.Load(); n != 1 {
			t.Errorf("served %d times", n)
		}
	}
}

// TestBurstOfInvokes: many callers at once, each gets its own answer.
func TestBurstOfInvokes(t *testing.T) {
	const callers = 300
	w := newWorld(t)
	w.run()
	w.serve(fn, echo)
	nc := w.client()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			want := fmt.Sprintf(`{"i":%d}`, i)
			m, err := nc.Request(invokeSubject, []byte(want), inTime)
			if err != nil || string(m.Data) != want {
				t.Errorf("%s: %v %+v", want, err, m)
			}
		})
	}
	wg.Wait()
}

// TestThousandMalformedRequests: none is stored, none goes unanswered, the gateway lives. The
// seed is fixed, so that a failure can be seen again.
func TestThousandMalformedRequests(t *testing.T) {
	w := newWorld(t)
	w.run()
	nc := w.client()
	dice := rand.New(rand.NewPCG(7, 11))
	for i := range 1000 {
		h, body := malformedRequest(dice)
		m, err := nc.RequestMsg(&nats.Msg{Subject: invokeSubject, Header: h, Data: body}, inTime)
		if err != nil {
			t.Fatalf("request %d (%v, %q): %v", i, h, body, err)
		}
		var wrapped struct{ Error *refusal }
		if err := json.Unmarshal(m.Data, &wrapped); err != nil || wrapped.Error == nil || m.Header.Get("Nats-Service-Error-Code") != "400" || len(wrapped.Error.Message) > 1000 {
			t.Fatalf("request %d (%v, %q): %v %s", i, h, body, m.Header, m.Data)
		}
	}
	if pending, err := w.bus.PendingOf(w.ctx(), fn, testShard); err != nil || len(pending) != 0 {
		t.Errorf("stored %v, %v", pending, err)
	}
	w.serve(fn, echo)
	if m := request(t, nc, invokeSubject, nil, "alive"); string(m.Data) != "alive" {
		t.Errorf("%q", m.Data)
	}
}

// malformedRequest spoils one thing of an event that is otherwise right.
func malformedRequest(dice *rand.Rand) (nats.Header, []byte) {
	junk := make([]byte, 1+dice.IntN(40))
	for i := range junk {
		junk[i] = byte('!' + dice.IntN('~'-'!'))
	}
	text := "%" + string(junk) + "%"
	h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"x"}, "ce-source": {"s"}, "ce-type": {"t"}}
	spoil := []func(){
		func() { h["ce-specversion"] = []string{text} },
		func() { delete(h, "ce-specversion") },
		func() { delete(h, []string{"ce-id", "ce-source", "ce-type"}[dice.IntN(3)]) },
		func() { h[fmt.Sprintf("ce-a_%x", junk)] = []string{"v"} },
		func() { h["ce-time"] = []string{text} },
		func() { h["ce-deadline"] = []string{text} },
		func() { h["ce-redrive"] = []string{text} },
		func() { h["ce-stream"] = []string{text} },
		func() { h["ce-sync"] = []string{text} },
		func() { h["ce-path"] = []string{text} },
		func() { h["ce-replyto"] = []string{"stoker.ctl." + text} },
		func() { h["ce-subject"] = []string{"%FF%FE" + text} },
		func() { h["Stoker-Class"] = []string{text} },
		func() { h["Stoker-Deadline"] = []string{text} },
		func() { h["Stoker-Timeout"] = []string{text} },
		func() { h["Content-Type"] = []string{"application/cloudevents+json"} }, // and the body is junk
		func() { h["Content-Type"] = []string{"application/cloudevents" + text} },
	}
	spoil[dice.IntN(len(spoil))]()
	return h, junk
}

// TestRunEndsWithItsContext: no subscription and no goroutine is left behind.
func TestRunEndsWithItsContext(t *testing.T) {
	t.Run("serving", func(t *testing.T) { w := newWorld(t); w.run() })
	t.Run("disconnected", func(t *testing.T) {
		w := newWorld(t)
		w.bus.Conn().Close()
		if err := w.gateway.Run(w.ctx()); !errors.Is(err, events.ErrNotConnected) {
			t.Errorf("%v", err)
		}
	})
}
