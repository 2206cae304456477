package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"stoker.dev/stoker/functions"
)

func TestHeartbeatsArrive(t *testing.T) {
	b := newBus(t)
	got := make(chan Heartbeat, 10)
	if _, err := b.OnHeartbeat(func(k functions.Key, h Heartbeat) {
		if k == tiny {
			got <- h
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.nc.Publish(HeartbeatSubject(tiny, "r-0"), []byte("nonsense")); err != nil { // is dropped
		t.Fatal(err)
	}
	if err := b.Beat(tiny, Heartbeat{Replica: "r-1", Phase: PhaseReady, Pending: map[functions.Class]uint64{functions.Batch: 3}}); err != nil {
		t.Fatal(err)
	}
	if h := next(t, got); h.Replica != "r-1" || h.Phase != PhaseReady || h.Pending[functions.Batch] != 3 {
		t.Errorf("%+v", h)
	}
}

// TestHeartbeatIsBoundToItsSubject: an agent speaks for its own replica only.
func TestHeartbeatIsBoundToItsSubject(t *testing.T) {
	b := newBus(t)
	got := make(chan Heartbeat, 1)
	if _, err := b.OnHeartbeat(func(_ functions.Key, h Heartbeat) { got <- h }); err != nil {
		t.Fatal(err)
	}
	if err := b.publishJSON(HeartbeatSubject(tiny, "r-1"), Heartbeat{Replica: "r-2"}); err != nil {
		t.Fatal(err)
	}
	if h := next(t, got); h.Replica != "r-1" {
		t.Errorf("%+v", h)
	}
}

func TestOrdersAreAnswered(t *testing.T) {
	b := newBus(t)
	drain := Control{Op: OpDrain, GraceSeconds: 30}
	if err := b.SendControl(t.Context(), tiny, "r-1", drain); !errors.Is(err, ErrNotFound) {
		t.Errorf("no agent listens: %v", err)
	}
	got := make(chan Control, 10)
	if _, err := b.OnControl(tiny, "r-1", func(c Control) (string, error) {
		got <- c
		if c.Op != OpDrain {
			return "", fmt.Errorf("op %q, allowed: drain", c.Op)
		}
		return "as you say", nil
	}); err != nil {
		t.Fatal(err)
	}
	if said, err := b.Ask(t.Context(), tiny, "r-1", drain); err != nil || said != "as you say" {
		t.Fatalf("%q, %v", said, err)
	}
	if c := next(t, got); c != drain {
		t.Errorf("%+v", c)
	}
	if err := b.SendControl(t.Context(), tiny, "r-1", Control{Op: "dance"}); err == nil || !strings.Contains(err.Error(), "allowed: drain") {
		t.Errorf("got %v", err)
	}
	// Tools may send it by hand, and read {"ok":true,…}.
	m, err := b.nc.Request("stoker.ctl.default.tinylm.r-1", []byte(`{"op":"drain"}`), patience)
	if err != nil || string(m.Data) != `{"ok":true,"said":"as you say"}` {
		t.Errorf("%s, %v", m.Data, err)
	}
}

func TestCancelReachesTheFunctionsAgents(t *testing.T) {
	b := newBus(t)
	got := make(chan string, 10)
	if _, err := b.OnCancel(tiny, func(id string) { got <- id }); err != nil {
		t.Fatal(err)
	}
	if err := b.Cancel(functions.Key{Namespace: "default", Name: "other"}, "1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Cancel(tiny, "2"); err != nil {
		t.Fatal(err)
	}
	if id := next(t, got); id != "2" {
		t.Errorf("%s", id)
	}
}

// TestPlainRequestIsAnsweredByOneGateway makes the round of `nats request`.
func TestPlainRequestIsAnsweredByOneGateway(t *testing.T) {
	b := newBus(t)
	for _, gateway := range []*Bus{b, another(t, b)} {
		if _, err := gateway.OnInvoke(func(k functions.Key, m *Msg) {
			answer := &Msg{Header: ReplyHeader(record("1", "s")), Data: []byte(k.String() + " " + string(m.Data))}
			if err := m.RespondMsg(answer); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		flush(t, gateway)
	}
	inbox := b.nc.NewInbox()
	got := recorder(t, b, inbox)
	if err := b.nc.PublishRequest("stoker.invoke.default.tinylm", inbox, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if m := next(t, got); string(m.Data) != "default/tinylm hi" || m.Header.Get(HeaderStatus) != "ok" {
		t.Errorf("%v %s", m.Header, m.Data)
	}
	flush(t, b)
	if len(got) != 0 {
		t.Error("two gateways answered")
	}
}

func TestNoticesAreTailedInOrder(t *testing.T) {
	b := newBus(t)
	ctx := t.Context()
	start := time.Now().Add(-time.Minute)
	other := functions.Key{Namespace: "default", Name: "other"}
	for i, k := range []functions.Key{tiny, other, tiny} {
		if err := b.Emit(ctx, k, NoticeReplica, fmt.Sprint("step-", i), map[string]int{"i": i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Emit(ctx, tiny, NoticeFunction, "applied", nil); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]TailOptions{
		"step-0 step-1 step-2 applied ": {Since: start},
		"step-0 step-2 applied ":        {Since: start, Function: tiny},
		"step-0 step-2 ":                {Since: start, Function: tiny, Kind: NoticeReplica},
		"":                              {Since: time.Now().Add(time.Hour)},
	} {
		var got string
		if err := b.Tail(ctx, o, func(n Notice) error {
			got += n.What + " "
			if n.Key == tiny && n.What == "step-2" {
				if string(n.Data) != `{"i":2}` || n.Kind != NoticeReplica || n.ID == "" || time.Since(n.At).Abs() > time.Minute {
					t.Errorf("%+v", n)
				}
			}
			return nil
		}); err != nil || got != want {
			t.Errorf("%+v: %q, %v, want %q", o, got, err, want)
		}
	}
	if err := b.Emit(ctx, tiny, "a.b", "c", nil); !errors.Is(err, ErrSubject) {
		t.Errorf("got %v, want ErrSubject", err)
	}
}

func TestTailFollows(t *testing.T) {
	b := newBus(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, done := make(chan Notice), make(chan error, 1)
	go func() {
		done <- b.Tail(ctx, TailOptions{Follow: true, Since: time.Now().Add(-time.Minute)}, func(n Notice) error {
			got <- n
			return nil
		})
	}()
	for i := range 3 {
		if err := b.Emit(ctx, tiny, NoticeReplica, fmt.Sprint("step-", i), nil); err != nil {
			t.Fatal(err)
		}
		if n := next(t, got); n.What != fmt.Sprint("step-", i) || len(n.Data) != 0 {
			t.Errorf("%+v", n)
		}
	}
	cancel()
	if err := next(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestNoticesAreCloudEvents reads one as any other CloudEvents tool would.
func TestNoticesAreCloudEvents(t *testing.T) {
	b := newBus(t)
	got := recorder(t, b, AllEvents)
	if err := b.Emit(t.Context(), tiny, NoticeReplica, "ready", Receipt{}); err != nil {
		t.Fatal(err)
	}
	m := next(t, got)
	e, err := Decode(m.Header, m.Data)
	if err != nil || e.Type != "dev.stoker.replica.ready.v1" || e.Source != "stoker" || e.Subject != "default/tinylm" || !json.Valid(e.Data) {
		t.Errorf("%+v, %v", e, err)
	}
}
