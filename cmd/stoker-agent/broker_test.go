package main

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/events/eventstest"
	"stoker.dev/stoker/functions"
)

// TestOutlivesTheBroker stops the broker for a while, with a request in flight, and starts
// it again on the same port and files.
func TestOutlivesTheBroker(t *testing.T) {
	w := newWorld(t, nil) // its own broker is not used any more
	begin := w.ownBroker()
	s := begin()
	for _, err := range []error{w.bus.Ensure(w.ctx(), events.StreamOptions{}), w.bus.Deploy(w.ctx(), key, 0), w.bus.OpenQueue(w.ctx(), key, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p := w.ready("r1", "")
	pids := p.pids("pid")
	w.publish(functions.Standard, ask("across", wish{Do: "slow", Millis: 300}))
	p.note("began")
	s.Shutdown()
	s.WaitForShutdown()
	select {
	case <-p.done:
		t.Fatal("the agent left with its broker")
	case <-time.After(time.Second): // longer than the request takes
	}
	begin()
	if rec := w.record("across"); rec.Status != events.StatusOK {
		t.Errorf("record %+v", rec)
	}
	w.publish(functions.Standard, ask("after", wish{}))
	if rec := w.record("after"); rec.Status != events.StatusOK {
		t.Errorf("record %+v", rec)
	}
	w.empty()
	if now := p.pids("pid"); now[0] != pids[0] {
		t.Errorf("the server was restarted: pid %d, then %d", pids[0], now[0])
	}
	w.awaitBeat("r1", "a fresh time", func(hb events.Heartbeat) bool { return hb.Totals.Served == 2 })
}

// ownBroker returns what starts a broker for a world, again on the same port and files after the first time.
func (w *world) ownBroker() (begin func() *server.Server) {
	store, port := w.t.TempDir(), 0
	return func() *server.Server {
		w.t.Helper()
		s := eventstest.Server(w.t, func(o *server.Options) {
			o.StoreDir = store
			if port != 0 {
				o.Port = port
			}
		})
		if port == 0 {
			port, w.url = portOf(w.t, s), s.ClientURL()
			w.connect()
		}
		if err := w.bus.WaitConnected(w.ctx()); err != nil {
			w.t.Fatal(err)
		}
		return s
	}
}

func portOf(t testing.TB, s *server.Server) int {
	t.Helper()
	info := s.PortsInfo(patience)
	if info == nil || len(info.Nats) == 0 {
		t.Fatal("no port")
	}
	u, err := url.Parse(info.Nats[0])
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestMinimalPermissionsAreEnough runs an agent that may do what the broker's role for
// agents allows, and nothing else.
func TestMinimalPermissionsAreEnough(t *testing.T) {
	may := events.AgentPermissions(key, "r1", events.ShardStream(0))
	s := eventstest.Server(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "a"},
			{Username: "agent", Password: "b", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: may.Publish},
				Subscribe: &server.SubjectPermission{Allow: may.Subscribe},
			}},
		}
	})
	w := newWorld(t, nil)
	w.url = strings.Replace(s.ClientURL(), "nats://", "nats://admin:a@", 1)
	w.connect()
	for _, err := range []error{w.bus.Ensure(w.ctx(), events.StreamOptions{}), w.bus.Deploy(w.ctx(), key, 0), w.bus.OpenQueue(w.ctx(), key, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := w.config("r1", "")
	c.NATS = events.NATSAccess{URL: strings.Replace(s.ClientURL(), "nats://", "nats://agent:b@", 1)}
	p := w.start(c)
	w.awaitPhase("r1", events.PhaseReady)
	if got := w.collect(w.call(functions.Standard, ask("q", wish{}))); got.Status != events.StatusOK {
		t.Errorf("reply %+v", got)
	}
	if got := w.collect(w.call(functions.Batch, ask("sick", wish{Do: "status", N: 500}))); got.Cause != events.CauseAttemptsSpent {
		t.Errorf("reply %+v", got)
	}
	known := w.pullOneAfterRunning(p, "known")
	if known.Status != events.StatusOK {
		t.Errorf("record %+v", known)
	}
	if err := w.bus.SendControl(w.ctx(), key, "r1", events.Control{Op: events.OpDrain}); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(strings.ToLower(p.output.String()), "permission") {
		t.Error("the broker refused something")
	}
}

// pullOneAfterRunning publishes an id that has its record already, which makes the agent
// read that record.
func (w *world) pullOneAfterRunning(p *process, id string) events.Record {
	w.t.Helper()
	w.publish(functions.Standard, ask(id, wish{}))
	first := w.record(id)
	// Past the broker's own deduplication, which knows the message id.
	if err := w.bus.Conn().PublishMsg(&events.Msg{Subject: events.RequestSubject(key, functions.Standard), Data: []byte("{}"), Header: events.Header{
		"ce-id": {id}, "ce-source": {"test"}, "ce-type": {events.TypeRequest}, "ce-specversion": {"1.0"}}}); err != nil {
		w.t.Fatal(err)
	}
	w.empty()
	if again := w.record(id); !again.Ended.Equal(first.Ended) {
		w.t.Errorf("the record was replaced: %+v, then %+v", first, again)
	}
	return first
}
